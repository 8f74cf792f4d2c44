/* Calls that take a tuned plan for cooperative matrices, emulated: several matrices of one format are one launch,
 * and rows in the middle of a matrix are theirs. */
#include "tests/problem_units.h"

enum { MATRICES = 3, N = 6 };
static const size_t rows[MATRICES] = { 70, 16, 33 };

static const char plan_name[] =
    "matvec.iq4_ks.glsl.n6.g32.r1.t4.s64.v16.u1.k1.packed.mma.shmem.shmem";

static bool find(void *user, const struct iqt_device_info *info,
                 const struct iqt_plan *like, size_t m, size_t k, struct iqt_plan *out)
{
    (void)user, (void)info, (void)m, (void)k;
    return like->op == IQT_OP_MATVEC && iqt_plan_parse(plan_name, out) == IQT_OK;
}

static size_t built(const struct iqt_device *dev, enum iqt_covers covers)
{
    size_t count = 0;

    for (const struct iqt_built *b = dev->built; b != NULL; b = b->next)
        count += iqt_plan_is_coop(&b->plan) && b->plan.covers == covers;
    return count;
}

static void check_set(struct target *t)
{
    struct problem p[MATRICES];
    struct iqt_product product[MATRICES];
    struct floats y[MATRICES];

    for (size_t i = 0; i < MATRICES; i++) {
        p[i] = problem_new(iqt_format_find("iq4_ks"), rows[i], 1280);
        memcpy(p[i].x.at, p[0].x.at, p[0].x.count * sizeof(float));
        problem_remodel(&p[i]);
        y[i] = floats_new(N * rows[i]);
        product[i] = (struct iqt_product){
            .struct_size = sizeof product[i],
            .w = problem_upload(&p[i], t, IQT_LAYOUT_PACKED),
            .y = y[i].at,
        };
    }
    check_true(iqt_matvec(t->q, p[0].x.at, p[0].x_stride, N, product, MATRICES) == IQT_OK,
               "%s", iqt_last_error());
    check_true(built(t->dev, IQT_COVERS_SET) == (t->dev->hw->members > 1),
               "the set has no kernel on matrices");
    for (size_t i = 0; i < MATRICES; i++) {
        problem_compare(&p[i], y[i].at, rows[i], N, 0, rows[i]);
        floats_check(&y[i], rows[i], N, rows[i]);
        floats_free(&y[i]);
        iqt_matrix_destroy((struct iqt_matrix *)product[i].w);
        problem_free(&p[i]);
    }
}

static void check_rows(struct target *t)
{
    enum { M = 90, BEGIN = 21, ROWS = 37 };
    struct problem p = problem_new(iqt_format_find("iq4_ks"), M, 1280);
    struct iqt_matrix *w = problem_upload(&p, t, IQT_LAYOUT_PACKED);
    struct floats y = floats_new(N * ROWS);
    const struct iqt_product product = {
        .struct_size = sizeof product, .w = w, .y = y.at, .row_begin = BEGIN, .rows = ROWS
    };

    if (w && problem_run(&p, t, N, &product, NULL))
        problem_compare(&p, y.at, ROWS, N, BEGIN, ROWS);
    check_true(built(t->dev, IQT_COVERS_ONE) == 1, "the plan was not taken");
    floats_check(&y, ROWS, N, ROWS);
    floats_free(&y);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

int main(int argc, char **argv)
{
    struct targets all = { .count = 0 };
    const bool open = target_open(&all, "vulkan", "vulkan-0");

    check_init(argc, argv);
    targets_emulate(&all);
    for (size_t i = 0; i < all.count; i++)
        iqt_context_set_plans(all.at[i].ctx, (struct iqt_plan_source){ .find = find });
    if (check_begin("rows")) {
        if (open)
            check_rows(&all.at[0]);
        else
            check_skip("vulkan", "%s", iqt_last_error());
        check_end();
    }
    if (open && check_begin("set")) {
        check_set(&all.at[0]);
        check_end();
    }
    targets_close(&all);
    return check_done();
}
