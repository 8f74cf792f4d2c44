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
/* AMD Matrix Instruction Calculator, --architecture cdna3 --instruction v_mfma_i32_16x16x32_i8
 * --detail-instruction: "Register to matrix element mapping". */
static const char mfma[] =
    "typedef int ivec4 __attribute__((vector_size(16)));\n"
    "#define KERNEL extern \"C\" __attribute__((global, amdgpu_flat_work_group_size(64, 64))) void\n"
    "KERNEL fragments(const long *a, const long *b, ivec4 *c)\n"
    "{\n"
    "    unsigned lane = __builtin_amdgcn_workitem_id_x();\n"
    "    ivec4 d = { 3, 3, 3, 3 };\n"
    "    c[lane] = __builtin_amdgcn_mfma_i32_16x16x32_i8(a[lane], b[lane], d, 0, 0, 0);\n"
    "}\n";
/* The same, --architecture rdna3 and rdna4 --instruction v_wmma_i32_16x16x16_iu8, waves of 32. */
#define WMMA(words, sums, builtin)                                                                    \
    "typedef int vec __attribute__((vector_size(" words ")));\n"                                      \
    "typedef int sums __attribute__((vector_size(" sums ")));\n"                                      \
    "#define KERNEL extern \"C\" __attribute__((global, amdgpu_flat_work_group_size(32, 32))) void\n" \
    "KERNEL fragments(const vec *a, const vec *b, sums *c)\n"                                         \
    "{\n"                                                                                             \
    "    unsigned lane = __builtin_amdgcn_workitem_id_x();\n"                                         \
    "    sums d = { 3, 3, 3, 3, 3, 3, 3, 3 };\n"                                                      \
    "    c[lane] = " builtin "(true, a[lane], true, b[lane], d, false);\n"                            \
    "}\n"
static const char wmma_gfx11[] =
    WMMA("16", "32", "__builtin_amdgcn_wmma_i32_16x16x16_iu8_w32");
static const char wmma_gfx12[] =
    WMMA("8", "32", "__builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12");
#define K32(types)                                                                              \
    "    asm volatile(\"mma.sync.aligned.m16n8k32.row.col.s32." types                           \
    ".s32 {%0, %1, %2, %3}, \"\n"                                                               \
    "        \"{%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};\"\n"                           \
    "        : \"=r\"(d0), \"=r\"(d1), \"=r\"(d2), \"=r\"(d3)\n"                                \
    "        : \"r\"(x[0]), \"r\"(x[1]), \"r\"(x[2]), \"r\"(x[3]), \"r\"(y[0]), \"r\"(y[1]),\n" \
    "          \"r\"(n), \"r\"(n), \"r\"(n), \"r\"(n));\n"
static const char k32[] = K32("s8.s8"), k32_unsigned[] = K32("u8.u8");
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

static void mfma_a_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *k)
{
    *row = lane % 16;
    *k = 8 * (lane / 16) + 4 * (i / 4) + i % 4;
}

static void mfma_b_place(uint32_t lane, uint32_t i, uint32_t *k, uint32_t *column)
{
    *k = 8 * (lane / 16) + 4 * (i / 4) + i % 4;
    *column = lane % 16;
}

static void mfma_c_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *column)
{
    *row = 4 * (lane / 16) + i % 4;
    *column = lane % 16;
}

static void wmma_a_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *k)
{
    *row = lane % 16;
    *k = i;
}

static void wmma_b_place(uint32_t lane, uint32_t i, uint32_t *k, uint32_t *column)
{
    *k = i;
    *column = lane % 16;
}

static void wmma_c_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *column)
{
    *row = 2 * i + lane / 16;
    *column = lane % 16;
}

static void wmma12_c_place(uint32_t lane, uint32_t i, uint32_t *row, uint32_t *column)
{
    *row = 8 * (lane / 16) + i;
    *column = lane % 16;
}

typedef void (*place_fn)(uint32_t lane, uint32_t i, uint32_t *first, uint32_t *second);

/* A unit: bytes of a lane's A and B, sums of a lane, all of which `depth` products are added to 3. */
struct unit {
    const char *name, *instruction; /* of PTX, or the whole text */
    enum sim_language language;
    const char *arch;
    uint32_t lanes, a_bytes, b_bytes, sums, depth;
    place_fn a, b, c;
};
static const struct unit units[] = {
    { "m16n8k32", k32, SIM_CUDA, "sm_90", 32, 16, 8, 4, 32, a_place, b_place, c_place },
    { "m16n8k32.u8", k32_unsigned, SIM_CUDA, "sm_90", 32, 16, 8, 4, 32, a_place, b_place,
      c_place },
    { "m16n8k16", k16, SIM_CUDA, "sm_90", 32, 16, 8, 4, 16, a_place, b_place, c_place },
    { "m8n8k16", m8, SIM_CUDA, "sm_90", 32, 16, 8, 2, 16, a_place, b_place, c_place },
    { "mfma16x16x32", mfma, SIM_HIP, "gfx942", 64, 8, 8, 4, 32, mfma_a_place,
      mfma_b_place, mfma_c_place },
    { "wmma_gfx11", wmma_gfx11, SIM_HIP, "gfx1100", 32, 16, 16, 8, 16, wmma_a_place,
      wmma_b_place, wmma_c_place },
    { "wmma_gfx12", wmma_gfx12, SIM_HIP, "gfx1201", 32, 8, 8, 8, 16, mfma_a_place,
      mfma_b_place, wmma12_c_place },
};

/* Sums of a lane that the texts store. */
static uint32_t stride(const struct unit *u)
{
    return u->sums > 4 ? u->sums : 4;
}

struct matrices {
    int8_t a[16][32], b[32][16], own_a[64 * 16], own_b[64 * 8];
};

static void fill(const struct unit *u, struct matrices *m)
{
    uint32_t row, k, column;

    for (row = 0; row < 16; row++)
        for (k = 0; k < 32; k++) {
            m->a[row][k] = (int8_t)check_rand();
            m->b[k][row] = (int8_t)check_rand();
        }
    for (uint32_t lane = 0; lane < u->lanes; lane++) {
        for (uint32_t i = 0; i < u->a_bytes; i++) {
            u->a(lane, i, &row, &k);
            m->own_a[lane * u->a_bytes + i] = m->a[row][k];
        }
        for (uint32_t i = 0; i < u->b_bytes; i++) {
            u->b(lane, i, &k, &column);
            m->own_b[lane * u->b_bytes + i] = m->b[k][column];
        }
    }
}

static int product(const struct unit *u, int8_t a, int8_t b)
{
    return u->instruction == k32_unsigned ? (uint8_t)a * (uint8_t)b : a * b;
}

static void compare(const struct unit *u, const struct matrices *m, const int *c)
{
    size_t wrong_sums = 0;

    for (uint32_t lane = 0; lane < u->lanes; lane++)
        for (uint32_t i = 0; i < u->sums; i++) {
            uint32_t row, column;
            int want = 3;

            u->c(lane, i, &row, &column);
            for (uint32_t k = 0; k < u->depth; k++)
                want += product(u, m->a[row][k], m->b[k][column]);
            wrong_sums += c[stride(u) * lane + i] != want;
        }
    check_true(wrong_sums == 0, "%zu sums are not the product of the matrices",
               wrong_sums);
}

/* In warps of `warp` lanes: what is right must give the product, the rest a fault. */
static void run(const struct unit *u, const struct matrices *m, uint32_t warp, bool right)
{
    const uint32_t grid[3] = { 1, 1, 1 }, block[3] = { u->lanes, 1, 1 };
    char text[4096], *image, *log;
    struct sim_module *module;
    size_t bytes;
    void *da = sim_case_device(m->own_a, u->lanes * u->a_bytes),
         *db = sim_case_device(m->own_b, u->lanes * u->b_bytes);
    int *c = sim_alloc(u->lanes * stride(u) * sizeof *c, 0);
    void *args[] = { &da, &db, &c };

    snprintf(text, sizeof text, u->language == SIM_CUDA ? fragments : "%s",
             u->instruction);
    if (!sim_compile(u->language, text, u->arch, false, &image, &bytes, &log))
        check_fail("does not compile: %.300s", log);
    else if ((module = sim_module_load(image, u->arch)) != NULL) {
        const enum sim_result result =
            sim_run(sim_module_kernel(module, "fragments"), grid, block, warp, args);

        check_true((result == SIM_OK) == right, "warp of %u: result %d, %s", warp,
                   (int)result, iqt_sim_fault_text());
        if (right)
            compare(u, m, c);
        sim_module_unload(module);
    }
    free(image);
    free(log);
    sim_free(da);
    sim_free(db);
    sim_free(c);
}

static void check_unit(const struct unit *u)
{
    struct matrices m;

    if (!check_begin("fragments.%s", u->name))
        return;
    fill(u, &m);
    run(u, &m, u->lanes, true);
    if (u->language == SIM_HIP) /* of the other generation */
        run(u, &m, 96 - u->lanes, false);
    check_end();
}

/* Lanes 16 and up of RDNA3's operands must be copies. */
static void check_copies(const struct unit *u)
{
    struct matrices m;

    if (!check_begin("fragments.%s.copies", u->name))
        return;
    fill(u, &m);
    m.own_a[u->a_bytes * (16 + check_rand() % 16)] ^= 1;
    run(u, &m, 32, false);
    fill(u, &m);
    m.own_b[u->b_bytes * (check_rand() % 16) + 15] ^= 1;
    run(u, &m, 32, false);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    for (size_t i = 0; i < IQT_COUNT(units); i++)
        check_unit(&units[i]);
    for (size_t i = 0; i < IQT_COUNT(units); i++)
        if (units[i].instruction == wmma_gfx11)
            check_copies(&units[i]);
    return check_done();
}
