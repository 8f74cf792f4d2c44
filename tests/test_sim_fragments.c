/* The simulated matrix units against the documented maps of their operands. */
#include "tests/sim_case.h"

/* The maps of the PTX ISA, "Matrix Fragments for mma.m16n8k32" (.s8), as it writes them: element i of a
 * lane's A and B, four a word; c. Smaller shapes are its parts. */
static const char fragments[] =
    "typedef unsigned int uint;\n"
    "extern \"C\" __global__ void __launch_bounds__(32) fragments(const uint *a, const uint *b, int *c)\n"
    "{\n"
    "    uint lane = threadIdx.x;\n"
    "    const uint *x = a + 4 * lane, *y = b + 2 * lane;\n"
    "    int *d = c + 4 * lane;\n"
    "    int d0, d1, d2, d3, n = 3;\n"
    "%s"
    "    d[0] = d0; d[1] = d1; d[2] = d2; d[3] = d3;\n"
    "}\n";
static const char k32[] =
    "    asm volatile(\"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, \"\n"
    "        \"{%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};\"\n"
    "        : \"=r\"(d0), \"=r\"(d1), \"=r\"(d2), \"=r\"(d3)\n"
    "        : \"r\"(x[0]), \"r\"(x[1]), \"r\"(x[2]), \"r\"(x[3]), \"r\"(y[0]), \"r\"(y[1]),\n"
    "          \"r\"(n), \"r\"(n), \"r\"(n), \"r\"(n));\n";
static const char k16[] =
    "    asm volatile(\"mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, \"\n"
    "        \"{%4, %5}, {%6}, {%7, %8, %9, %10};\"\n"
    "        : \"=r\"(d0), \"=r\"(d1), \"=r\"(d2), \"=r\"(d3)\n"
    "        : \"r\"(x[0]), \"r\"(x[1]), \"r\"(y[0]), \"r\"(n), \"r\"(n), \"r\"(n), \"r\"(n));\n";
static const char m8[] =
    "    d2 = d3 = 0;\n"
    "    asm volatile(\"mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%4, %5};\"\n"
    "        : \"=r\"(d0), \"=r\"(d1) : \"r\"(x[0]), \"r\"(y[0]), \"r\"(n), \"r\"(n));\n";

/* Row and column of element i of lane's A, k and column of B's, row and column of C's. */
static void a_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *k)
{
    *row = i < 4 || (i >= 8 && i < 12) ? lane / 4 : lane / 4 + 8;
    *k = lane % 4 * 4 + (i & 3) + (i < 8 ? 0 : 16);
}

static void b_place(uint32_t lane, uint32_t i, uint32_t *k, uint32_t *column)
{
    *k = lane % 4 * 4 + (i & 3) + (i < 4 ? 0 : 16);
    *column = lane / 4;
}

static void c_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *column)
{
    *row = i < 2 ? lane / 4 : lane / 4 + 8;
    *column = lane % 4 * 2 + (i & 1);
}

static void compare_fragments(const int8_t a[16][32], const int8_t b[32][8], const int *c,
                              uint32_t rows, uint32_t depth)
{
    size_t wrong_sums = 0;

    for (uint32_t lane = 0; lane < 32; lane++)
        for (uint32_t i = 0; i < rows / 4; i++) {
            uint32_t row, column;
            int want = 3;

            c_place(lane, i, &row, &column);
            for (uint32_t k = 0; k < depth; k++)
                want += a[row][k] * b[k][column];
            wrong_sums += c[4 * lane + i] != want;
        }
    check_true(wrong_sums == 0, "%zu sums are not the product of the matrices",
               wrong_sums);
}

static void check_fragments(const char *name, const char *instruction, uint32_t rows,
                            uint32_t depth)
{
    const uint32_t grid[3] = { 1, 1, 1 }, block[3] = { 32, 1, 1 };
    int8_t a[16][32], b[32][8], own_a[32][16], own_b[32][8];
    char text[4096], *image, *log;
    struct sim_module *module;
    size_t bytes;
    uint32_t row, k, column;

    if (!check_begin("fragments.%s", name))
        return;
    for (uint32_t lane = 0; lane < 32; lane++) {
        for (uint32_t i = 0; i < 16; i++) {
            a_place(lane, i, &row, &k);
            own_a[lane][i] = a[row][k] = (int8_t)check_rand();
        }
        for (uint32_t i = 0; i < 8; i++) {
            b_place(lane, i, &k, &column);
            own_b[lane][i] = b[k][column] = (int8_t)check_rand();
        }
    }
    snprintf(text, sizeof text, fragments, instruction);
    void *da = sim_case_device(own_a, sizeof own_a),
         *db = sim_case_device(own_b, sizeof own_b);
    int *c = sim_alloc(sizeof(int[128]), 0);
    void *args[] = { &da, &db, &c };
    if (!sim_compile(SIM_CUDA, text, "sm_90", false, &image, &bytes, &log))
        check_fail("does not compile: %.300s", log);
    else if ((module = sim_module_load(image, "sm_90")) != NULL) {
        check_true(sim_run(sim_module_kernel(module, "fragments"), grid, block, 32,
                           args) == SIM_OK,
                   "%s", iqt_sim_fault_text());
        compare_fragments(a, b, c, rows, depth);
        sim_module_unload(module);
    }
    free(image);
    free(log);
    sim_free(da);
    sim_free(db);
    sim_free(c);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    check_fragments("m16n8k32", k32, 16, 32);
    check_fragments("m16n8k16", k16, 16, 16);
    check_fragments("m8n8k16", m8, 8, 16);
    return check_done();
}
