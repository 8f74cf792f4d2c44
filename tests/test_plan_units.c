/* Plans for matrix units: which are legal, which are listed, which are defaults, and for which targets. */
#include "kernels/coop.h"
#include "kernels/layout.h"
#include "kernels/plan.h"
#include "kernels/tile.h"
#include "tuner/gpu_table.h"
#include "runtime/compile.h"
#include "tests/check.h"
#include "tests/plan_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* AMD's matrix units: legal where the device has them, one broken rule each elsewhere; never a default. */
static void check_mfma(void)
{
    static const struct {
        const char *plan, *expect;
    } bad[] = {
        { "matvec.iq4_k.hip.n4.g16.r4.t16.s64.v2.u1.k1.native.mma.perm.shmem", "native" },
        { "matvec.q4_k.hip.n4.g16.r4.t16.s64.v16.u1.k1.packed.mma.none.shmem", "q4_k" },
        { "matvec.iq4_k.hip.n1.g16.r4.t16.s64.v16.u1.k1.packed.mma.perm.shmem", "n1" },
        { "matvec.iq4_k.hip.n4.g8.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem", "g8" },
        { "matvec.iq4_k.hip.n4.g128.r4.t4.s64.v16.u1.k1.packed.mma.perm.shmem", "g128" },
        { "matvec.iq4_k.hip.n4.g16.r4.t8.s64.v16.u1.k1.packed.mma.perm.shmem", "t16" },
        { "matvec.iq4_k.hip.n4.g64.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem",
          "shared" },
        { "matvec.iq4_k.hip.n4.g16.r4.t16.s64.v16.u1.k1.packed.mma.perm.subgroup",
          "subgroup" },
        { "matvec.iq4_k.hip.n4.g16.r4.t16.s64.v16.u1.k2.packed.mma.perm.shmem", "k2" },
    };
    struct iqt_limits l = wide_limits;
    struct iqt_plan p;

    if (!check_begin("mfma"))
        return;
    l.shared_bytes = 65536;
    l.subgroup_min = l.subgroup_max = 64;
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        check_true(iqt_plan_parse(bad[i].plan, &p) == IQT_OK, "%s", iqt_last_error());
        check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED, "%s is legal",
                   bad[i].plan);
        check_true(strstr(iqt_last_error(), bad[i].expect) != NULL, "%s: '%s' in: %s",
                   bad[i].plan, bad[i].expect, iqt_last_error());
    }
    check_true(iqt_plan_parse(
                   "gated.iq4_k.hip.n16.g32.r4.t16.s64.v16.u1.k1.packed.mma.perm.shmem",
                   &p) == IQT_OK &&
                   iqt_plan_check(&p, &l) == IQT_OK,
               "%s", iqt_last_error());
    l.mma = false;
    check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED,
               "a matrix unit on a device without");
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
            check_true(iqt_plan_default_for(&wide_limits, f, IQT_DIALECT_HIP,
                                            IQT_OP_MATVEC, n, IQT_LAYOUT_PACKED)
                               .compute == iqt_compute_default(f),
                       "%s n%u: the default takes matrix units", f->name, n);
    check_end();
}

/* Vulkan's cooperative matrices: listed where the device has them, one broken rule each elsewhere; never a default. */
static void check_coop(void)
{
    static const struct {
        const char *plan, *expect;
    } bad[] = {
        { "matvec.f16.glsl.n4.g16.r1.t8.s64.v2.u1.k1.native.mma.none.shmem", "f16" },
        { "matvec.iq4_k.glsl.n1.g16.r1.t8.s64.v16.u1.k1.packed.mma.sel.shmem", "n1" },
        { "matvec.iq4_k.glsl.n4.g8.r1.t8.s64.v16.u1.k1.packed.mma.sel.shmem", "g8" },
        { "matvec.iq4_k.glsl.n4.g128.r4.t4.s64.v16.u1.k1.packed.mma.sel.shmem", "g128" },
        { "matvec.iq4_k.glsl.n4.g16.r4.t4.s64.v16.u1.k1.packed.mma.sel.shmem",
          "16 threads" },
        { "matvec.iq4_k.glsl.n4.g16.r1.t2.s64.v16.u1.k1.packed.mma.sel.shmem",
          "subgroups of 64" },
        { "matvec.iq4_k.glsl.n4.g16.r1.t8.s64.v16.u1.k1.packed.mma.sel.subgroup",
          "shared memory" },
        { "matvec.iq4_k.glsl.n4.g64.r1.t16.s256.v16.u1.k1.packed.mma.sel.shmem",
          "bytes of shared" },
        { "matvec.iq4_k.glsl.n4.g16.r1.t8.s64.v16.u1.k2.packed.mma.sel.shmem", "k2" },
    };
    struct iqt_plan p, *list = malloc(MOST * sizeof *list);
    struct iqt_limits l = wide_limits;
    size_t coop[2] = { 0 };

    if (!list || !check_begin("coop")) {
        free(list);
        return;
    }
    l.shared_bytes = 65536;
    l.subgroup_min = l.subgroup_max = 64;
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        check_true(iqt_plan_parse(bad[i].plan, &p) == IQT_OK, "%s", iqt_last_error());
        check_true(iqt_plan_check(&p, &l) == IQT_ERR_UNSUPPORTED, "%s is legal",
                   bad[i].plan);
        check_true(strstr(iqt_last_error(), bad[i].expect) != NULL, "%s: '%s' in: %s",
                   bad[i].plan, bad[i].expect, iqt_last_error());
    }
    for (uint32_t has = 0; has < 2; has++) {
        l.mma = has;
        const size_t count = iqt_plan_list(p.format, IQT_DIALECT_GLSL, IQT_OP_GATED, 5,
                                           IQT_LAYOUT_NATIVE, &l, list, MOST);

        for (size_t i = 0; i < count && i < MOST; i++)
            coop[has] += iqt_plan_is_coop(&list[i]);
    }
    check_true(coop[0] == 0 && coop[1] > 0, "%zu plans without matrices, %zu with",
               coop[0], coop[1]);
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        check_true(iqt_plan_default_for(&l, f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 16,
                                        IQT_LAYOUT_PACKED)
                           .compute != IQT_COMPUTE_MMA,
                   "%s: the default takes matrices", f->name);
    check_end();
    free(list);
}

/* One column or two of a trellis go to CUDA's matrix units where the device says that they are fast. */
static void check_one_column(void)
{
    if (!check_begin("one_column"))
        return;
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t i = 0; i < 4 * IQT_DIALECTS * IQT_OPS; i++) {
            const enum iqt_dialect d = (enum iqt_dialect)(i % IQT_DIALECTS);
            const enum iqt_op op = (enum iqt_op)(i / IQT_DIALECTS % IQT_OPS);
            struct iqt_limits l = wide_limits;
            struct iqt_plan p;

            l.mma_one = i / IQT_DIALECTS / IQT_OPS % 2 ? 3 : 0;
            p = iqt_plan_default_for(&l, f, d, op, 1 + i / IQT_DIALECTS / IQT_OPS / 2,
                                     IQT_LAYOUT_PACKED);
            check_true((p.compute == IQT_COMPUTE_MMA) ==
                           (l.mma_one && d == IQT_DIALECT_CUDA && f->trellis != NULL &&
                            f->bytes < 128),
                       "%s in %s: compute kind %s", f->name, iqt_dialect_name(d),
                       iqt_compute_name(p.compute));
            if (p.compute != IQT_COMPUTE_MMA)
                continue;
            check_true(iqt_plan_check(&p, NULL) == IQT_OK, "%s", iqt_last_error());
            check_true(iqt_plan_split(&p, &l, 32 * l.compute_units, 1024).compute ==
                               IQT_COMPUTE_MMA &&
                           iqt_plan_split(&p, &l, 30 * l.compute_units, 1024).compute ==
                               IQT_COMPUTE_I8,
                       "%s: given up elsewhere than with few rows", f->name);
            p.covers = IQT_COVERS_ROUTED;
            check_true(iqt_plan_check(&p, NULL) == IQT_ERR_UNSUPPORTED, "routed");
            p = iqt_plan_divisible(&p);
            p.covers = IQT_COVERS_ROUTED;
            p.n = 1;
            check_true(iqt_plan_check(&p, NULL) == IQT_OK, "%s", iqt_last_error());
        }
    check_end();
}

/* Waves of 64 or 32 have the rows of a plan for AMD's matrix units, or do not. */
static void check_waves(void)
{
    static const struct {
        const char *shape, *not_64, *not_32; /* NULL: legal */
    } cases[] = {
        { "g16.r4.t8", "t16", NULL },   { "g16.r4.t16", NULL, NULL },
        { "g16.r4.t4", "t16", "t8" },   { "g32.r4.t4", "t8", "g16" },
        { "g32.r4.t32", NULL, "g16" },  { "g64.r4.t4", NULL, "g16" },
        { "g128.r4.t4", "g64", "g16" },
    };
    struct iqt_limits l = wide_limits;

    if (!check_begin("waves"))
        return;
    l.shared_bytes = 65536;
    for (size_t i = 0; i < IQT_COUNT(cases); i++)
        for (uint32_t wave = 32; wave <= 64; wave += 32) {
            const char *expect = wave == 64 ? cases[i].not_64 : cases[i].not_32;
            char name[IQT_PLAN_NAME_BYTES];
            struct iqt_plan p;

            snprintf(name, sizeof name,
                     "matvec.iq2_k.hip.n4.%s.s64.v16.u1.k1.packed.mma.perm.shmem",
                     cases[i].shape);
            l.subgroup_min = l.subgroup_max = wave;
            check_true(iqt_plan_parse(name, &p) == IQT_OK, "%s", iqt_last_error());
            const enum iqt_status status = iqt_plan_check(&p, &l);
            check_true((status == IQT_OK) == (expect == NULL), "%s: %d in waves of %u",
                       name, (int)status, wave);
            check_true(expect == NULL || strstr(iqt_last_error(), expect) != NULL,
                       "%s: '%s' in: %s", name, expect, iqt_last_error());
        }
    check_end();
}

/* Matrix units that kernels know: of Turing and later, of CDNA3 and 4, of RDNA3 and 4. */
static void check_targets(void)
{
    static const struct {
        const char *target;
        bool has;
        uint8_t one;
    } cases[] = {
        { "sm_70", false, 0 },   { "sm_75", true, 0 },    { "sm_80", true, 3 },
        { "sm_86", true, 0 },    { "sm_90", true, 4 },    { "sm_90a", true, 4 },
        { "sm_100", true, 4 },   { "sm_103", false, 0 },  { "sm_120", true, 0 },
        { "gfx90a", false, 0 },  { "gfx942", true, 0 },   { "gfx942:xnack-", true, 0 },
        { "gfx950", true, 0 },   { "gfx9420", false, 0 }, { "gfx94", false, 0 },
        { "gfx1100", true, 0 },  { "gfx1151", true, 0 },  { "gfx1201", true, 0 },
        { "gfx1030", false, 0 }, { "gfx1250", false, 0 }
    };

    if (!check_begin("units.targets"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        check_true(iqt_target_has_mma(cases[i].target) == cases[i].has, "%s: expected %d",
                   cases[i].target, cases[i].has);
        check_true(iqt_gpu_tensor(cases[i].target)->one == cases[i].one,
                   "%s: expected %d", cases[i].target, cases[i].one);
    }
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    check_mfma();
    check_coop();
    check_one_column();
    check_waves();
    check_targets();
    return check_done();
}
