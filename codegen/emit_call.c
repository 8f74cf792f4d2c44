/* What a workgroup does around the rows of one matrix: finds out which rows, of which matrix and
 * over which part of k; adds the parts. Knows nothing of weights. */
#include "codegen/emit_call.h"

#include "codegen/emit_gpu.h"

#include <stdio.h>

bool iqt_emit_covers_more(const struct iqt_plan *p)
{
    return p->covers != IQT_COVERS_ONE || p->split > 1;
}

/* ---- Types ---- */

/* struct iqt_params behind its first words, which every kernel has. */
static const char *const more_params[] = {
    "counters",          "partials",     "jobs",       "share",
    "experts",           "expert_begin", "expert_end", "expert_bytes",
    "expert_bytes_high", "expert_rows"
};

static const char cxx_set[] = "struct Job {\n"
                              "    const uchar *w, *gate;\n"
                              "    const float *bias, *gate_bias, *residual;\n"
                              "    float *y;\n"
                              "    uint end; // the first workgroup behind it\n"
                              "    Launch launch;\n"
                              "};\n"
                              "struct Set {\n"
                              "    Job job[%u];\n"
                              "};\n";

/* Stores of a workgroup become visible to whoever learns from the counter that they are done. */
static const char *const split_words[IQT_DIALECTS] = {
    [IQT_DIALECT_GLSL] = "#define RELEASE memoryBarrierBuffer()\n"
                         "#define ACQUIRE memoryBarrierBuffer()\n"
                         "#define ARRIVE(counter) atomicAdd(counter, 1u)\n",
    [IQT_DIALECT_CUDA] = "#define RELEASE __threadfence()\n"
                         "#define ACQUIRE __threadfence()\n"
                         "#define ARRIVE(counter) atomicAdd(&(counter), 1u)\n",
    [IQT_DIALECT_HIP] =
        "#define RELEASE __builtin_amdgcn_fence(__ATOMIC_RELEASE, \"agent\")\n"
        "#define ACQUIRE __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, \"agent\")\n"
        "#define ARRIVE(counter) __hip_atomic_fetch_add(&(counter), 1u, "
        "__ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT)\n",
};

void iqt_emit_call_types(struct iqt_emit *e)
{
    const struct iqt_plan *p = e->plan;

    if (p->dialect != IQT_DIALECT_GLSL) {
        iqt_emit_open(e, "struct Launch : Params");
        for (size_t i = 0; i < IQT_COUNT(more_params); i++)
            iqt_emit_line(e, "uint %s;", more_params[i]);
        e->indent--;
        iqt_emit_line(e, "};");
    }
    if (p->covers == IQT_COVERS_SET && p->dialect != IQT_DIALECT_GLSL)
        iqt_buf_printf(e->out, cxx_set, IQT_SET_JOBS);
    if (p->split == 1)
        return;
    iqt_buf_printf(e->out, "%s", split_words[p->dialect]);
    iqt_emit_line(e, "#define K %uu // workgroups that share k", p->split);
    iqt_emit_line(e, "#define STEP (T * K) // spans");
    iqt_emit_line(e, "%s uint arrived;", e->spell->shared);
}

/* struct iqt_short_set. */
static const char glsl_set[] =
    "struct Job { uint rows, row0, bases, y_stride, y_base, flags; float limit; };\n"
    "layout(push_constant) uniform Launch\n"
    "{ uint k, row_bytes, cols, members; Job member[%u]; } launch;\n"
    "Params p;\n"
    "uint member; // of the set\n";

/* GLSL's parameters cannot be written to: the body works on a copy. */
void iqt_emit_glsl_launch(struct iqt_emit *e, const char *const *names, size_t count)
{
    iqt_emit_open(e, "struct Params");
    for (size_t i = 0; i < count; i++)
        iqt_emit_line(e, "uint %s;", names[i]);
    iqt_emit_line(e, "float limit;");
    e->indent--;
    iqt_emit_line(e, "};");
    if (e->plan->covers == IQT_COVERS_SET) {
        iqt_buf_printf(e->out, glsl_set, IQT_SHORT_SET_JOBS);
        return;
    }
    iqt_emit_open(e, "layout(push_constant) uniform Launch");
    iqt_emit_line(e, "Params p;");
    for (size_t i = 0; i < IQT_COUNT(more_params); i++)
        iqt_emit_line(e, "uint %s;", more_params[i]);
    e->indent--;
    iqt_emit_line(e, "} launch;");
    iqt_emit_line(e, "Params p;");
    if (e->plan->covers == IQT_COVERS_ROUTED)
        iqt_emit_line(e, "uint vector; // of x");
}

/* ---- Which rows ---- */

/* Group number i of workgroups belongs to job i / groups; ids are read by the device only. */
static void emit_routed(struct iqt_emit *e)
{
    const bool glsl = e->plan->dialect == IQT_DIALECT_GLSL;
    const bool is_float = e->plan->format->decode == IQT_DECODE_FLOAT;

    iqt_emit_line(e, "uint groups = (p.rows + G - 1u) / G, job = group / groups;");
    iqt_emit_line(e, "if (job >= launch.jobs)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "group %%= groups;");
    iqt_emit_line(e, "p.y_base += job * p.y_stride;");
    iqt_emit_line(e, "uint id = uint(ids[job]); // negative ones are large");
    iqt_emit_open(e, "if (id >= launch.experts)");
    iqt_emit_line(e,
                  "for (uint i = THREAD; i < G && launch.expert_begin == 0u; i += %uu)",
                  iqt_plan_threads(e->plan));
    iqt_emit_line(e, "    if (group * G + i < p.rows)");
    iqt_emit_line(e, "        y[p.y_base + group * G + i] = 0.0f;");
    iqt_emit_line(e, "return;");
    iqt_emit_close(e);
    iqt_emit_line(e, "if (id < launch.expert_begin || id >= launch.expert_end)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "p.row0 += id * launch.expert_rows;");
    if (glsl) {
        iqt_emit_line(e, "p.w_base += (id - launch.expert_begin) * launch.expert_bytes;");
        iqt_emit_line(e,
                      "p.gate_base += (id - launch.expert_begin) * launch.expert_bytes;");
        iqt_emit_line(e, "vector = job / launch.share;");
        return;
    }
    iqt_emit_line(e, "unsigned long long from = ((unsigned long long)launch."
                     "expert_bytes_high << 32 | launch.expert_bytes)");
    iqt_emit_line(e, "    * (id - launch.expert_begin);");
    iqt_emit_line(e, "uint vector = job / launch.share;");
    iqt_emit_line(e, "w_bytes += from;");
    iqt_emit_line(e, "gate_bytes += from;");
    if (is_float)
        iqt_emit_line(e, "xf4 += (unsigned long long)vector * (p.k / 4u);");
    else
        iqt_emit_line(e, "xq4 += (unsigned long long)vector * (%s);",
                      iqt_emit_x_vectors(e->plan));
    if (!is_float)
        iqt_emit_line(e, "xs2 += (unsigned long long)vector * (p.k / 32u);");
}

static void emit_set(struct iqt_emit *e)
{
    iqt_emit_line(e, "uint number = 0u, begin = 0u;");
    iqt_emit_open(e, "while (group >= set.job[number].end)");
    iqt_emit_line(e, "begin = set.job[number].end;");
    iqt_emit_line(e, "number++;");
    iqt_emit_close(e);
    iqt_emit_line(e, "group -= begin;");
    iqt_emit_line(e, "const Job &job = set.job[number];");
    iqt_emit_line(e, "const Launch &launch = job.launch;");
    iqt_emit_line(e, "Params p = job.launch;");
    iqt_emit_line(e, "w_bytes = job.w; gate_bytes = job.gate;");
    iqt_emit_line(e, "bias = job.bias; gate_bias = job.gate_bias;");
    iqt_emit_line(e, "residual = job.residual; y = job.y;");
    iqt_emit_line(e, "(void)launch; (void)gate_bytes; (void)gate_bias;");
}

/* The member depends on the workgroup alone. Surplus workgroups are behind the rows of the last one. */
static const char *const glsl_set_lines[] = {
    "member = 0u;",
    "uint groups = (launch.member[0].rows + G - 1u) / G;",
    "while (group >= groups && member + 1u < launch.members) {",
    "    group -= groups;",
    "    member++;",
    "    groups = (launch.member[member].rows + G - 1u) / G;",
    "}",
    "Job job = launch.member[member];",
    "p.rows = job.rows; p.row0 = job.row0;",
    "p.k = launch.k; p.cols = launch.cols; p.row_bytes = launch.row_bytes;",
    "p.w_base = job.bases & 0xffffu; p.gate_base = job.bases >> 16;",
    "p.y_stride = job.y_stride; p.y_base = job.y_base;",
    "p.flags = job.flags & 0xffu; p.act = job.flags >> 8;",
    "p.skip = 0u; p.limit = job.limit;",
};

static void emit_glsl_set(struct iqt_emit *e)
{
    for (size_t i = 0; i < IQT_COUNT(glsl_set_lines); i++)
        iqt_emit_line(e, "%s", glsl_set_lines[i]);
}

void iqt_emit_call_begin(struct iqt_emit *e)
{
    const struct iqt_plan *p = e->plan;

    iqt_emit_line(e, "uint group = GROUP;");
    if (p->split > 1)
        iqt_emit_line(e, "uint part = group %% K; group /= K;");
    if (p->covers == IQT_COVERS_SET)
        (p->dialect == IQT_DIALECT_GLSL ? emit_glsl_set : emit_set)(e);
    else
        iqt_emit_line(e, p->dialect == IQT_DIALECT_GLSL ? "p = launch.p;"
                                                        : "Params p = launch;");
    if (p->covers == IQT_COVERS_ROUTED)
        emit_routed(e);
    if (p->split == 1)
        return;
    iqt_emit_line(e, "if (group >= (p.rows + p.skip + G - 1u) / G)");
    iqt_emit_line(e, "    return; // before any barrier");
}

const char *iqt_emit_x_vectors(const struct iqt_plan *p)
{
    return iqt_plan_takes_lanes(p) ? IQT_EMIT_LANES_VECTORS : "p.k / 16u";
}

const char *iqt_emit_first_span(const struct iqt_plan *p)
{
    return p->split > 1 ? "(lane + part * T)" : "lane";
}

const char *iqt_emit_span_step(const struct iqt_plan *p)
{
    return p->split > 1 ? "STEP" : "T";
}

/* ---- Parts of k ---- */

/* Words behind launch.partials: [group][part][matrix][row of the workgroup][column]. */
static void emit_partial_at(struct iqt_emit *e, const char *name, const char *part,
                            uint32_t of, const char *local)
{
    const uint32_t matrices = e->plan->op == IQT_OP_GATED ? 2 : 1;

    iqt_emit_line(e,
                  "uint %s = launch.partials + (((group * K + %s) * %uu + %uu) * G + %s) "
                  "* p.cols + c;",
                  name, part, matrices, of, local);
}

void iqt_emit_partial(struct iqt_emit *e, uint32_t of, const char *local,
                      const char *value)
{
    iqt_emit_scope(e);
    emit_partial_at(e, "to", "part", of, local);
    iqt_emit_line(e, "work[to] = BITS_OF(%s);", value);
    iqt_emit_close(e);
}

static void emit_total(struct iqt_emit *e, uint32_t of, const struct iqt_tile *tile)
{
    static const char *const names[] = { "w", "gate" };
    char row[128];

    e->prefix = names[of];
    if (tile)
        snprintf(row, sizeof row,
                 "p.%s_base + (first + local) / R * R * p.row_bytes + local %% R * %uu",
                 e->prefix, e->plan->format->row_head);
    else
        snprintf(row, sizeof row, "p.%s_base + row * p.row_bytes", e->prefix);
    iqt_emit_row_factor(e, row);
    iqt_emit_line(e, "float %s_total = 0.0f;", e->prefix);
    iqt_emit_open(e, "for (uint part = 0u; part < K; part++)");
    emit_partial_at(e, "from", "part", of, "local");
    iqt_emit_line(e, "%s_total += FLOAT_OF(work[from]);", e->prefix);
    iqt_emit_close(e);
}

/* The counter names the last one; the order of the sum does not depend on who that is. */
void iqt_emit_combine(struct iqt_emit *e, const struct iqt_tile *tile)
{
    iqt_emit_line(e, "RELEASE;");
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "if (tid == 0u)");
    iqt_emit_line(e, "    arrived = ARRIVE(work[launch.counters + group]);");
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "if (arrived != K - 1u)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "ACQUIRE;");
    iqt_emit_line(e, "if (tid == 0u)");
    iqt_emit_line(e, "    work[launch.counters + group] = 0u; // for the next launch");
    iqt_emit_line(e, "first = group * G;");
    iqt_emit_open(e, "for (uint i = tid; i < G * p.cols; i += %uu)",
                  iqt_plan_threads(e->plan));
    iqt_emit_line(e, "uint local = i %% G, c = i / G, row = first + local - p.skip;");
    iqt_emit_open(e, "if (row < p.rows)");
    for (uint32_t of = 0; of < (e->plan->op == IQT_OP_GATED ? 2u : 1u); of++)
        emit_total(e, of, tile);
    iqt_emit_store(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

void iqt_emit_activation(struct iqt_emit *e)
{
    if (e->plan->op != IQT_OP_GATED)
        return;
    iqt_emit_open(e, "%sfloat gated(uint act, float limit, float g, float u)",
                  e->spell->function);
    iqt_emit_line(e, "if (act == %uu) // ReLU", IQT_ACT_RELU);
    iqt_emit_line(e, "    return g > 0.0f ? g * u : 0.0f * u;");
    iqt_emit_line(e, "// GELU, tanh form written as a sigmoid");
    iqt_emit_open(e, "if (act == %uu)", IQT_ACT_GELU);
    iqt_emit_line(e, "float z = 1.5957691216f * g * (1.0f + 0.044715f * g * g);");
    iqt_emit_line(e, "return g / (1.0f + EXP(-z)) * u;");
    iqt_emit_close(e);
    iqt_emit_line(e, "// SwiGLU-OAI");
    iqt_emit_open(e, "if (act == %uu)", IQT_ACT_SWIGLU_OAI);
    iqt_emit_line(e, "g = g > limit ? limit : g;");
    iqt_emit_line(e, "u = u > limit ? limit : u < -limit ? -limit : u;");
    iqt_emit_line(e, "return g / (1.0f + EXP(-1.702f * g)) * (u + 1.0f);");
    iqt_emit_close(e);
    iqt_emit_line(e, "return g / (1.0f + EXP(-g)) * u; // SiLU");
    iqt_emit_close(e);
}
