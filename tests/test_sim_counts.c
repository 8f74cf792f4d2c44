/* What simulated kernels ask of memory: default plans waste nothing, and a kernel that does is noticed. */
#include "stats/dynamic.h"
#include "tests/sim_case.h"

#define TILE(format, dialect, n, lookup)                                              \
    "matvec." format "." dialect ".n" n ".g16.r4.t32.s64.v16.u1.k1.packed.i8." lookup \
    ".subgroup"
#define TILE4 TILE("iq4_k", "cuda", "1", "perm")
#define HIP_TILE4 TILE("iq4_k", "hip", "1", "perm")
#define TILE4_TREE "matvec.iq4_k.cuda.n1.g16.r4.t8.s64.v16.u1.k1.packed.i8.perm.shmem"

#define MMA4 "matvec.iq4_k.cuda.n8.g32.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"
#define MMA_ONE "matvec.iq2_kt.cuda.n1.g32.r4.t32.s64.v16.u1.k1.packed.mma.none.shmem"
#define MFMA4 "matvec.iq4_k.hip.n16.g16.r4.t32.s64.v16.u1.k1.packed.mma.perm.shmem"

/* Where the counts of docs/kernels.md are from. */
static const char *arch_of(const struct iqt_plan *plan)
{
    return plan->dialect == IQT_DIALECT_HIP ? "gfx942" : "sm_90";
}

static bool counted(const struct iqt_plan *plan, const char *arch, uint32_t n,
                    const char *text, struct iqt_dynamic *out)
{
    const struct iqt_dynamic_product product = {
        .m = plan->rows_group,
        .k = 4096,
        .n = n,
        .arch = arch,
        .text = text,
    };
    const enum iqt_status status = iqt_dynamic_count(plan, &product, out);

    check_true(status == IQT_OK, "%s", iqt_last_error());
    return status == IQT_OK;
}

/* Sectors asked for by needed ones: a record is read by up to four loads, which share its sectors; 1.283 is the most
 * (iq2_ks, 16 columns). */
#define MOST_SECTORS 1.29

/* Activations of lanes side by side that are not (or are the same ones, which rows of a wave may share). */
static bool reads_apart(const struct iqt_sim_site *s)
{
    enum { LINE = 128 }; /* bytes */

    return iqt_dynamic_buffer_of(s->argument) == IQT_DYNAMIC_X &&
           s->lines * LINE > s->lanes * s->bytes;
}

/* What is wrong with a kernel's accesses; NULL: nothing. sweeps: over rows that are in the cache. A warp of
 * matrix units has one superblock of eight groups of rows: where their records end within a sector, the
 * next warp has the rest, so only sums are judged. */
static const char *wasteful(const struct iqt_plan *plan, const struct iqt_dynamic *d,
                            uint32_t sweeps)
{
    for (uint32_t i = 0; plan->compute != IQT_COMPUTE_MMA && i < d->counted.sites; i++)
        if (iqt_dynamic_uncoalesced(d, i))
            return "uncoalesced weights";
    for (uint32_t i = 0; iqt_plan_takes_lanes(plan) && i < d->counted.sites; i++)
        if (reads_apart(&d->counted.site[i]))
            return "activations read in more passes than they fill";
    if (d->counted.conflicts > 0)
        return "bank conflicts";
    if (iqt_dynamic_ratio(d, IQT_DYNAMIC_WEIGHTS) > IQT_DYNAMIC_MOST * sweeps)
        return "weights asked for more than once";
    if (iqt_dynamic_sector_ratio(d, IQT_DYNAMIC_WEIGHTS) > MOST_SECTORS * sweeps)
        return "sectors asked for more than once";
    return iqt_dynamic_fetch_ratio(d, IQT_DYNAMIC_WEIGHTS) > IQT_DYNAMIC_MOST
               ? "sectors of weights that are not needed"
               : NULL;
}

/* one: on a device whose matrix units are worth it for a single column. */
static void check_counts(const struct iqt_format *f, enum iqt_dialect dialect,
                         enum iqt_op op, uint32_t n, bool one)
{
    const struct iqt_limits device = { .mma = true, .mma_one = one ? 4 : 0 };
    const struct iqt_plan plan =
        iqt_plan_default_for(&device, f, dialect, op, n, IQT_LAYOUT_PACKED);
    struct iqt_dynamic d;

    if (!check_begin("counts.%s.%s.%s%sn%u", iqt_dialect_name(dialect), f->name,
                     one ? "one." : "", op == IQT_OP_GATED ? "gated." : "", n))
        return;
    if (counted(&plan, arch_of(&plan), n, NULL, &d)) {
        const uint32_t columns = iqt_plan_columns(&plan);
        const uint32_t sweeps = (n + columns - 1) / columns;
        const char *why = wasteful(&plan, &d, sweeps);
        const double dots = (double)d.counted.primitive[IQT_SIM_DOT4] / d.weights;

        check_true(
            why == NULL,
            "%s: %.3f of the bytes, %.3f of the sectors (%.3f asked for), %u conflicts",
            why ? why : "", iqt_dynamic_ratio(&d, IQT_DYNAMIC_WEIGHTS),
            iqt_dynamic_fetch_ratio(&d, IQT_DYNAMIC_WEIGHTS),
            iqt_dynamic_sector_ratio(&d, IQT_DYNAMIC_WEIGHTS),
            (unsigned)d.counted.conflicts);
        check_true(dots >= 0.25 * n, "%.3f dot products a weight cannot do", dots);
    }
    check_end();
}

/* Plans for AMD's matrix units, which are no defaults. */
static void check_unit(const struct iqt_format *f, const char *arch, uint32_t rows)
{
    struct iqt_plan plan =
        iqt_plan_default(f, IQT_DIALECT_HIP, IQT_OP_MATVEC, 16, IQT_LAYOUT_PACKED);
    struct iqt_dynamic d;
    char name[IQT_PLAN_NAME_BYTES];

    if (!check_begin("counts.%s.%s.mma.g%u", arch, f->name, rows))
        return;
    plan.rows_group = (uint16_t)rows;
    plan.threads = (uint16_t)(512 / rows); /* two waves of 64, four of 32 */
    plan.compute = IQT_COMPUTE_MMA;
    plan.reduce = IQT_REDUCE_SHMEM;
    iqt_plan_name(&plan, name);
    if (counted(&plan, arch, 16, NULL, &d)) {
        const char *why = wasteful(&plan, &d, 1);

        check_true(why == NULL, "%s: %s: %.3f of the bytes, %.3f of the sectors", name,
                   why ? why : "", iqt_dynamic_ratio(&d, IQT_DYNAMIC_WEIGHTS),
                   iqt_dynamic_fetch_ratio(&d, IQT_DYNAMIC_WEIGHTS));
    }
    check_end();
}

/* Kernels that waste: each must be noticed. */
static const struct waste {
    const char *name, *plan, *find, *put, *why;
} wastes[] = {
    { "lanes_apart", TILE4, "lane / 4u * 512u + lane % 4u * 16u",
      "(lane / 4u * 4u + lane % 4u) * 128u", "uncoalesced weights" },
    { "half_sectors", TILE4, "lane % 4u * 16u;", "lane % 4u / 2u * 32u;",
      "uncoalesced weights" },
    { "activations_apart", TILE4, "x4 = xq4 + lane / 8u * 32u + lane % 8u;",
      "x4 = xq4 + lane % 4u * 32u + lane / 4u;",
      "activations read in more passes than they fill" },
    { "hip_activations_apart", HIP_TILE4, "x4 = xq4 + lane / 8u * 32u + lane % 8u;",
      "x4 = xq4 + lane % 4u * 32u + lane / 4u;",
      "activations read in more passes than they fill" },
    { "twice", TILE4, "uint e[5];",
      "const volatile uint *a = (const volatile uint *)w_codes;\n"
      "q[0] ^= (a[0] ^ a[1] ^ a[2] ^ a[3]) & zero; uint e[5];",
      "weights asked for more than once" },
    { "mfma_twice", MFMA4, "uint e[5];",
      "const volatile uint *a = (const volatile uint *)w_codes;\n"
      "q[0] ^= (a[0] ^ a[1] ^ a[2] ^ a[3]) & zero; uint e[5];",
      "weights asked for more than once" },
    { "mfma_conflicts", MFMA4, "#define GROUP_STEP 2440u", "#define GROUP_STEP 2448u",
      "bank conflicts" },
    { "mfma_scales", MFMA4, "#define SCALES_STEP 1040u", "#define SCALES_STEP 1024u",
      "bank conflicts" },
    { "conflicts", TILE4_TREE, "static __shared__ float tree[32];",
      "struct Tree { float a[1024]; float &operator[](uint i) { return a[i * 32u]; } };\n"
      "static __shared__ Tree tree;",
      "bank conflicts" },
    { "mma_conflicts", MMA4, "part % 4u * 32u)", "0u)", "bank conflicts" },
    { "mma_half_sectors", MMA4, "+ from + 16u * i + 64u * j)",
      "+ part * 64u + j % 4u * 16u + j / 4u * 256u)",
      "sectors asked for more than once" },
    { "one_conflicts", MMA_ONE, "2048u + 8u", "2048u", "bank conflicts" },
    { "one_half_sectors", MMA_ONE, "w_codes + 64u * j)",
      "w_codes + part * 48u + 16u * j)", "sectors asked for more than once" },
};

static void check_waste(const struct waste *w)
{
    struct iqt_plan plan;
    struct iqt_dynamic d;
    char *text, *changed;

    if (!check_begin("waste.%s", w->name))
        return;
    if (iqt_plan_parse(w->plan, &plan) != IQT_OK)
        abort();
    text = sim_case_text(&plan);
    changed = sim_case_mutate(text, w->find, w->put);
    if (changed == NULL)
        check_fail("the text of %s has no '%s' any more: write it anew", w->plan,
                   w->find);
    else if (counted(&plan, arch_of(&plan), plan.n, changed, &d)) {
        const char *why = wasteful(&plan, &d, 1);

        check_true(why != NULL && strcmp(why, w->why) == 0, "'%s' for '%s': %s, not %s",
                   w->put, w->find, why ? why : "nothing found", w->why);
    }
    free(changed);
    free(text);
    check_end();
}

static void check_all_counts(void)
{
    uint64_t number = 0;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        if (iqt_tile_family_of(f, IQT_DIALECT_CUDA) == IQT_TILE_NONE)
            continue;
        if (!check_draws(number++, 2))
            continue;
        for (uint32_t n = 1; n <= 8; n += 7) {
            check_counts(f, IQT_DIALECT_CUDA, IQT_OP_MATVEC, n, false);
            check_counts(f, IQT_DIALECT_HIP, IQT_OP_MATVEC, n, false);
        }
        check_counts(f, IQT_DIALECT_CUDA, IQT_OP_MATVEC, 16, false);
        check_counts(f, IQT_DIALECT_CUDA, IQT_OP_GATED, 16, false);
        for (int op = 0; f->trellis != NULL && op < IQT_OPS; op++)
            for (uint32_t n = 1; n <= 2; n++)
                check_counts(f, IQT_DIALECT_CUDA, (enum iqt_op)op, n, true);
        for (uint32_t rows = 16; rows <= 64; rows *= 2)
            check_unit(f, "gfx942", rows);
        check_unit(f, "gfx1100", 16);
        check_unit(f, "gfx1201", 16);
    }
    for (size_t i = 0; i < IQT_COUNT(wastes); i++)
        check_waste(&wastes[i]);
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    check_all_counts();
    return check_done();
}
