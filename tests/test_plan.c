/* Plans: the grammar of their names, the rules of legality, the default and the embedded ones. */
#include "kernels/plan.h"
#include "kernels/tile.h"
#include "kernels/layout.h"
#include "tests/check.h"
#include "tests/plan_limits.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* iq4_ks, found by its properties: this file spells no more formats than it must. */
static struct iqt_plan sample_plan(void)
{
    struct iqt_plan p;

    if (iqt_plan_parse("matvec.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem",
                       &p) != IQT_OK)
        abort();
    return p;
}

static void check_names(const struct iqt_format *f, enum iqt_dialect d)
{
    struct iqt_plan *list = malloc(MOST * sizeof(*list)), back;
    char name[IQT_PLAN_NAME_BYTES], again[IQT_PLAN_NAME_BYTES];

    if (!check_begin("names.%s.%s", f->name, iqt_dialect_name(d))) {
        free(list);
        return;
    }
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n += 5) {
        const size_t count = iqt_plan_list(f, d, IQT_OP_MATVEC, n, IQT_LAYOUT_PACKED,
                                           &wide_limits, list, MOST);

        check_true(count > 0, "no legal plan at n %u", n);
        for (size_t i = 0; i < count && i < MOST; i += 1 + check_rand() % 7) {
            iqt_plan_name(&list[i], name);
            check_true(iqt_plan_parse(name, &back) == IQT_OK, "%s: %s", name,
                       iqt_last_error());
            iqt_plan_name(&back, again);
            check_true(strcmp(name, again) == 0, "%s came back as %s", name, again);
            check_true(iqt_plan_check(&back, &wide_limits) == IQT_OK, "%s: %s", name,
                       iqt_last_error());
        }
    }
    free(list);
    check_end();
}

static void check_bad_names(void)
{
    static const struct {
        const char *name, *expect; /* part of the message */
    } bad[] = {
        { "matmul.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem",
          "matvec, gated" },
        { "matvec.iq9_x.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem", "iq9_x" },
        { "matvec.iq4_ks.metal.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem",
          "host, glsl" },
        { "matvec.iq4_ks.glsl.n17.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem",
          "n1 to n16" },
        { "matvec.iq4_ks.glsl.n0.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem",
          "n1 to n16" },
        { "matvec.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel", "missing" },
        { "matvec.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem.x", "after" },
        { "matvec.iq4_ks.glsl.n1.g8x.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem", "g8x" },
        { "", "operation" },
    };

    if (!check_begin("names.bad"))
        return;
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        struct iqt_plan p;

        check_true(iqt_plan_parse(bad[i].name, &p) == IQT_ERR_ARG, "'%s' was taken",
                   bad[i].name);
        check_true(strstr(iqt_last_error(), bad[i].expect) != NULL, "'%s' in: %s",
                   bad[i].expect, iqt_last_error());
    }
    check_end();
}

/* One broken rule each: what changes in a legal plan, and a word of the message. */
static void check_rules(void)
{
    const struct iqt_plan good = sample_plan();
    struct iqt_plan bad[] = { good, good, good, good, good, good, good, good,
                              good, good, good, good, good, good, good };
    static const char *const expect[] = {
        "r3",   "g6",          "t6", "s48",          "v4", "u3",  "sums", "none",
        "perm", "packed unit", "k3", "compute kind", "k2", "g64", "sets",
    };

    if (!check_begin("rules"))
        return;
    bad[0].rows_thread = 3;
    bad[1].rows_group = 6;
    bad[2].threads = 6;
    bad[3].span = 48;
    bad[4].vec = 4;
    bad[5].unroll = 3;
    bad[6].n = 16, bad[6].rows_thread = 4, bad[6].op = IQT_OP_GATED;
    bad[7].reduce = IQT_REDUCE_NONE;
    bad[8].lookup = IQT_LOOKUP_PERM;
    bad[9].format = iqt_format_find("iq2_ks"); /* 64 weights fill a vector */
    bad[10].split = 3;
    bad[11].compute = IQT_COMPUTE_F16, bad[11].covers = IQT_COVERS_ROUTED;
    bad[12].split = 2, bad[12].covers = IQT_COVERS_ROUTED;
    bad[13].split = 2, bad[13].rows_group = 128;
    bad[14].split = 2, bad[14].rows_group = 64, bad[14].covers = IQT_COVERS_SET;
    check_true(iqt_plan_check(&good, NULL) == IQT_OK, "sample plan: %s",
               iqt_last_error());
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        check_true(iqt_plan_check(&bad[i], NULL) == IQT_ERR_UNSUPPORTED,
                   "rule '%s' is not held", expect[i]);
        check_true(strstr(iqt_last_error(), expect[i]) != NULL, "'%s' in: %s", expect[i],
                   iqt_last_error());
    }
    check_end();
}

static void check_limits(void)
{
    struct iqt_plan p = sample_plan();
    struct iqt_limits l = wide_limits;

    if (!check_begin("limits"))
        return;
    l.max_threads = 16;
    check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED,
               "32 threads on a device of 16");
    l = wide_limits;
    l.shared_bytes = 64;
    check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED,
               "128 shared bytes on a device of 64");
    l = wide_limits;
    p.reduce = IQT_REDUCE_SUBGROUP;
    check_true(iqt_plan_check(&p, &l) == IQT_OK, "subgroup plan: %s", iqt_last_error());
    l.subgroup_min = 4;
    check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED, "t8 in subgroups of 4");
    l = wide_limits;
    l.subgroup_ops = false;
    check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED,
               "shuffles without shuffles");
    check_end();
}

/* Vulkan's dot product instruction: only GLSL, only where the device has it, then everywhere. */
static void check_dot(void)
{
    struct iqt_plan p = sample_plan(), *list = malloc(MOST * sizeof *list);
    struct iqt_limits l = wide_limits;
    size_t count;

    if (check_begin("dot")) {
        p.compute = IQT_COMPUTE_DOT;
        check_true(iqt_plan_check(&p, NULL) == IQT_OK, "%s", iqt_last_error());
        check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED,
                   "a dot product on a device without");
        l.dot4 = true;
        check_true(iqt_plan_check(&p, &l) == IQT_OK, "%s", iqt_last_error());
        count = iqt_plan_list(p.format, p.dialect, p.op, 1, p.layout, &l, list, MOST);
        for (size_t i = 0; i < count && i < MOST; i++)
            check_true(list[i].compute == IQT_COMPUTE_DOT, "plan %zu of the list", i);
        p = iqt_plan_default_for(&l, p.format, IQT_DIALECT_CUDA, p.op, 1, p.layout);
        check_true(p.compute == IQT_COMPUTE_I8, "a default of CUDA with GLSL's kind");
        p.compute = IQT_COMPUTE_DOT;
        check_true(iqt_plan_check(&p, NULL) == IQT_ERR_UNSUPPORTED, "dot on CUDA");
        check_end();
    }
    free(list);
}

/* Float activations: rows that are not tiles, one matrix, GPUs; the caller's own for float formats alone. In no
 * list of plans, so that nobody gets them who did not ask. */
static void check_floats(const struct iqt_format *f, enum iqt_dialect d,
                         enum iqt_layout layout)
{
    struct iqt_plan *list = malloc(MOST * sizeof *list), p;
    const bool tiles =
        layout == IQT_LAYOUT_PACKED && iqt_tile_family_of(f, d) != IQT_TILE_NONE;
    const bool coded = f->decode != IQT_DECODE_FLOAT,
               may = d != IQT_DIALECT_HOST && !tiles;
    const size_t count =
        iqt_plan_list(f, d, IQT_OP_MATVEC, 1, layout, &wide_limits, list, MOST);

    if (check_begin("floats.%s.%s.%s", f->name, iqt_dialect_name(d),
                    iqt_layout_name(layout))) {
        p = iqt_plan_default(f, d, IQT_OP_GATED, 1, layout);
        p.compute = IQT_COMPUTE_F16;
        check_true((iqt_plan_check(&p, NULL) == IQT_OK) == (coded && may), "f16: %s",
                   iqt_last_error());
        check_true(iqt_plan_is_asked_for(&p), "f16 for callers who did not ask");
        p.compute = IQT_COMPUTE_F32;
        check_true((iqt_plan_check(&p, NULL) == IQT_OK) == (!coded || may), "f32: %s",
                   iqt_last_error());
        check_true(iqt_plan_is_asked_for(&p) == coded, "f32 for callers who did not ask");
        p.compute = IQT_COMPUTE_F16, p.covers = IQT_COVERS_ROUTED, p.n = p.split = 1;
        check_true(iqt_plan_check(&p, NULL) == IQT_ERR_UNSUPPORTED, "f16 for experts");
        p.covers = IQT_COVERS_SET;
        check_true(iqt_plan_check(&p, NULL) == IQT_ERR_UNSUPPORTED, "f16 for sets");
        for (size_t i = 0; i < count && i < MOST; i++)
            check_true(!iqt_plan_is_asked_for(&list[i]), "plan %zu of the list", i);
        check_end();
    }
    free(list);
}

/* Bytes of activations that an iteration loads beside its weights. */
static void check_bytes(void)
{
    static const struct {
        enum iqt_compute kind;
        double bytes; /* of an activation, its share of a scale included */
    } kinds[] = { { IQT_COMPUTE_I8, 1.125 },
                  { IQT_COMPUTE_F16, 2.125 },
                  { IQT_COMPUTE_F32, 4 } };
    struct iqt_plan p = sample_plan();
    const double weights = (double)iqt_plan_weights_per_iteration(&p) * p.format->bytes /
                           p.format->superblock;

    if (!check_begin("bytes"))
        return;
    for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
        p.compute = kinds[i].kind;
        const double x = iqt_plan_bytes_per_iteration(&p) - weights;

        check_true(fabs(x - kinds[i].bytes * p.n * p.span) < 1e-9,
                   "%s: %g bytes of activations", iqt_compute_name(p.compute), x);
    }
    check_end();
}

static bool is_embedded(const struct iqt_plan *list, size_t count,
                        const struct iqt_plan *p)
{
    char a[IQT_PLAN_NAME_BYTES], b[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(p, a);
    for (size_t i = 0; i < count; i++) {
        iqt_plan_name(&list[i], b);
        if (strcmp(a, b) == 0)
            return true;
    }
    return false;
}

/* The default is legal, embedded and fits every row; a software device's threads share no row where a kernel
 * has few columns. */
static void check_defaults(enum iqt_dialect d, struct iqt_limits device)
{
    struct iqt_plan *list = malloc(MOST * sizeof(*list));
    const size_t count = iqt_plan_embedded(d, list, MOST);

    if (check_begin("default.%s%s%s", iqt_dialect_name(d), device.dot4 ? ".dot" : "",
                    device.software ? ".software" : "")) {
        check_true(count > 0 && count < MOST, "%zu embedded plans", count);
        for (const struct iqt_format *f = iqt_formats; f->name; f++)
            for (uint32_t op = 0; op < IQT_OPS; op++)
                for (uint32_t n = 1; n <= IQT_MAX_COLS; n++) {
                    const enum iqt_layout layout =
                        n % 2 ? IQT_LAYOUT_PACKED : IQT_LAYOUT_NATIVE;
                    const struct iqt_plan p =
                        iqt_plan_default_for(&device, f, d, (enum iqt_op)op, n, layout);

                    check_true(p.compute == iqt_compute_of(&device, f, d), "%s n%u",
                               f->name, n);
                    check_true(iqt_plan_check(&p, NULL) == IQT_OK, "%s n%u: %s", f->name,
                               n, iqt_last_error());
                    check_true(p.n >= n && iqt_plan_fits(&p, f->superblock), "%s n%u",
                               f->name, n);
                    check_true(is_embedded(list, count, &p), "%s n%u is not embedded",
                               f->name, n);
                    check_true(!device.software || (p.threads == 1) == (n <= 4),
                               "%s n%u: %u threads a row", f->name, n, p.threads);
                    check_true(
                        isfinite(iqt_plan_cost(&p, &wide_limits, 1, f->superblock)),
                        "%s n%u: cost of one row", f->name, n);
                }
        check_end();
    }
    free(list);
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t d = 0; d < IQT_DIALECTS; d++)
            check_names(f, (enum iqt_dialect)d);
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t d = 0; d < 2 * IQT_DIALECTS; d++)
            check_floats(f, (enum iqt_dialect)(d / 2), (enum iqt_layout)(d % 2));
    check_bytes();
    check_bad_names();
    check_rules();
    check_limits();
    check_defaults(IQT_DIALECT_HOST, (struct iqt_limits){ 0 });
    check_dot();
    check_defaults(IQT_DIALECT_GLSL, (struct iqt_limits){ 0 });
    check_defaults(IQT_DIALECT_GLSL, (struct iqt_limits){ .dot4 = true });
    check_defaults(IQT_DIALECT_GLSL, (struct iqt_limits){ .software = true,
                                                          .subgroup_ops = true,
                                                          .subgroup_min = 8,
                                                          .subgroup_max = 8 });
    return check_done();
}
