/* Emitted text: deterministic, equal to the committed golden texts; packed planes and tiles read only
 * by aligned loads of what is there. IQT_UPDATE=1 rewrites the golden texts: a change of an emitter
 * is then a readable diff. */
#include "codegen/codegen.h"
#include "kernels/codebook.h"
#include "kernels/packer.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

/* One per decode family and dialect that differs. Tiles: n1 is decoded by split permutes, n2 by
 * merged ones. */
#define TILE(op, format, dialect, n, lookup)                                       \
    op "." format "." dialect ".n" n ".g16.r4.t32.s64.v16.u1.k1.packed.i8." lookup \
       ".subgroup"
#define MMA(op, format, n, lookup) \
    op "." format ".cuda.n" n ".g32.r4.t32.s64.v16.u1.k1.packed.mma." lookup ".shmem"
#define MFMA(op, format, n, g, t, lookup) \
    op "." format ".hip.n" n ".g" g ".r4.t" t ".s64.v16.u1.k1.packed.mma." lookup ".shmem"
static const char *const golden[] = {
    MMA("matvec", "iq1_kt", "8", "none"),
    MMA("matvec", "iq2_kt", "1", "none"),
    MMA("gated", "iq3_kt", "1", "none"),
    MMA("set_matvec", "iq4_kt", "1", "none"),
    MMA("matvec", "iq3_k", "16", "perm"),
    MMA("gated", "iq5_ks", "4", "perm"),
    MFMA("matvec", "iq4_ks", "16", "16", "32", "perm"),
    MFMA("gated", "iq3_k", "8", "64", "8", "perm"),
    MFMA("matvec", "iq6_k", "16", "32", "8", "perm"),
    MFMA("matvec", "iq1_kt", "4", "16", "16", "none"),
    "matvec.iq4_ks.glsl.n1.g8.r2.t8.s64.v16.u1.k1.packed.i8.sel.shmem",
    "matvec.iq4_ks.host.n1.g2.r2.t1.s256.v32.u1.k1.packed.i8.perm.none",
    "matvec.iq2_kl.glsl.n1.g4.r1.t8.s256.v16.u1.k1.packed.i8.shmem.subgroup",
    "matvec.iq3_k.glsl.n1.g16.r2.t1.s128.v16.u1.k1.packed.i8.perm.subgroup",
    "matvec.iq4_kss.glsl.n4.g4.r1.t8.s32.v4.u1.k1.native.i8.sel.shmem",
    "matvec.iq3_kt.glsl.n1.g4.r1.t8.s128.v16.u1.k1.packed.i8.none.shmem",
    "gated.iq5_k.glsl.n1.g4.r1.t8.s128.v16.u1.k1.packed.i8.shmem.shmem",
    "matvec.q5_k.glsl.n1.g4.r1.t8.s32.v4.u1.k1.native.i8.none.shmem",
    "matvec.iq2_ks.glsl.n1.g8.r2.t4.s64.v16.u1.k1.packed.dot.arith.shmem",
    "matvec.iq3_kt.glsl.n1.g8.r2.t4.s128.v16.u1.k1.packed.dot.none.shmem",
    "matvec.iq4_kt.glsl.n1.g16.r4.t4.s128.v16.u1.k1.packed.dot.none.shmem",
    "matvec.f16.cuda.n1.g4.r1.t32.s32.v16.u1.k1.packed.f32.none.subgroup",
    "matvec.iq4_k.cuda.n1.g16.r1.t4.s128.v4.u1.k1.native.i8.perm.shmem",
    "matvec.iq3_kt.hip.n1.g16.r1.t4.s128.v4.u1.k1.native.i8.none.shmem",
    TILE("matvec", "iq2_ks", "cuda", "1", "perm"),
    TILE("matvec", "iq3_k", "cuda", "1", "perm"),
    TILE("matvec", "iq4_ks", "cuda", "1", "perm"),
    TILE("gated", "iq4_kss", "cuda", "2", "perm"),
    TILE("matvec", "iq5_k", "cuda", "1", "perm"),
    TILE("matvec", "iq6_k", "cuda", "1", "perm"),
    TILE("matvec", "iq2_kl", "cuda", "2", "perm"),
    TILE("matvec", "iq1_kt", "cuda", "1", "none"),
    TILE("matvec", "iq2_ks", "hip", "1", "perm"),
    TILE("matvec", "iq4_k", "hip", "2", "perm"),
    TILE("matvec", "iq5_ks", "hip", "1", "perm"),
    TILE("matvec", "iq6_k", "hip", "1", "perm"),
    TILE("matvec", "iq2_kl", "hip", "1", "perm"),
    TILE("matvec", "iq3_kt", "hip", "1", "none"),
    TILE("matvec", "iq4_kt", "hip", "2", "none"),
    "matvec.iq3_ks.cuda.n16.g16.r4.t32.s64.v16.u1.k4.packed.i8.perm.subgroup",
    "gated.iq4_ks.hip.n2.g16.r4.t32.s64.v16.u1.k2.packed.i8.perm.shmem",
    "gated.q5_k.glsl.n4.g4.r1.t8.s32.v4.u1.k8.native.i8.none.shmem",
    "routed_gated.iq4_ks.cuda.n1.g16.r4.t32.s64.v16.u1.k1.packed.i8.perm.subgroup",
    "routed_matvec.iq2_k.glsl.n1.g8.r2.t8.s64.v16.u1.k1.packed.i8.sel.shmem",
    "set_matvec.iq5_ks.cuda.n1.g16.r4.t32.s64.v16.u1.k1.packed.i8.perm.subgroup",
    "set_gated.iq3_kt.hip.n1.g16.r4.t32.s64.v16.u1.k2.packed.i8.none.subgroup",
    "set_gated.q5_k.glsl.n4.g4.r1.t8.s32.v4.u1.k1.native.i8.none.shmem",
    "matvec.iq2_kl.glsl.n1.g4.r1.t8.s256.v16.u1.k1.packed.f16.shmem.shmem",
    "matvec.iq3_k.cuda.n2.g16.r1.t4.s64.v2.u1.k1.native.f16.perm.shmem",
    "matvec.q5_k.hip.n1.g16.r1.t4.s32.v4.u1.k2.native.f16.none.shmem",
    /* Helpers and dialects. */
    "halve.cuda",
    "halve.glsl",
    "find4.glsl",
    "find8.cuda",
    "find8.hip",
};

/* False: no such helper. */
static bool emit_helper(const char *name, struct iqt_buf *out)
{
    char own[64];

    for (uint32_t h = 0; h < IQT_HELPERS; h++)
        for (uint32_t d = 0; d < IQT_DIALECTS; d++) {
            snprintf(own, sizeof(own), "%s.%s", iqt_helper_name(h), iqt_dialect_name(d));
            if (strcmp(name, own) == 0)
                return iqt_emit_helper(h, d, out) == IQT_OK;
        }
    return false;
}

static bool emit(const char *name, struct iqt_buf *out)
{
    struct iqt_plan plan;

    if (emit_helper(name, out))
        return true;
    if (iqt_plan_parse(name, &plan) == IQT_OK && iqt_emit_kernel(&plan, out) == IQT_OK)
        return true;
    check_fail("%s: %s", name, iqt_last_error());
    return false;
}

static void check_golden(const char *name)
{
    struct iqt_buf text = { 0 };
    char path[4096], *old = NULL;
    size_t bytes = 0;

    if (!check_begin("text.%s", name))
        return;
    snprintf(path, sizeof(path), "%s/golden/text/%s.txt", check_data(), name);
    if (!emit(name, &text)) {
        check_end();
        return;
    }
    if (getenv("IQT_UPDATE") != NULL) {
        check_true(iqt_file_replace(path, text.data, text.bytes) == IQT_OK, "%s",
                   iqt_last_error());
    } else if (iqt_file_read(path, &old, &bytes) != IQT_OK) {
        check_fail("%s; IQT_UPDATE=1 writes it", iqt_last_error());
    } else {
        size_t line = 1, at = 0;

        for (; at < bytes && at < text.bytes && old[at] == text.data[at]; at++)
            line += old[at] == '\n';
        check_true(
            bytes == text.bytes && at == bytes,
            "differs from %s at line %zu; IQT_UPDATE=1 rewrites it, then read the diff",
            path, line);
    }
    free(old);
    iqt_buf_free(&text);
    check_end();
}

static void check_deterministic(void)
{
    struct iqt_buf a = { 0 }, b = { 0 };

    if (!check_begin("deterministic"))
        return;
    for (size_t i = 0; i < IQT_COUNT(golden); i++) {
        a.bytes = b.bytes = 0;
        if (emit(golden[i], &a) && emit(golden[i], &b))
            check_true(a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0,
                       "%s: two texts of one plan differ", golden[i]);
    }
    iqt_buf_free(&a);
    iqt_buf_free(&b);
    check_end();
}

/* Reads the number after text at p; false when there is none. */
static bool number_after(const char *p, const char *text, unsigned long *out)
{
    char *end;

    if (strncmp(p, text, strlen(text)) != 0)
        return false;
    *out = strtoul(p + strlen(text), &end, 10);
    return end != p + strlen(text);
}

/* In a packed kernel, what is not a vector load reads the side record: at[r] + offset below the
 * record's size. Vector loads start at a row (16-byte aligned) plus a multiple of 16. */
static void check_loads(const struct iqt_plan *plan, const char *text)
{
    struct iqt_packing packing;
    char name[IQT_PLAN_NAME_BYTES];
    uint32_t vectors = 0;

    iqt_plan_name(plan, name);
    iqt_packing_init(&packing, plan->format);
    for (const char *p = text; (p = strstr(p, "at[r] + ")) != NULL; p++) {
        unsigned long offset;

        check_true(!number_after(p, "at[r] + ", &offset) || offset < packing.side_bytes,
                   "%s reads byte %lu beside the vectors, the record has %u", name,
                   offset, packing.side_bytes);
    }
    for (const char *p = text; (p = strstr(p, "= w_vec(")) != NULL; p++) {
        vectors++;
        check_true(strncmp(p, "= w_vec(w_row[r] + 16u * (", 26) == 0,
                   "%s: a vector load is not a multiple of 16 from the row", name);
    }
    check_true(vectors == (uint32_t)plan->span / packing.unit * packing.vecs,
               "%s loads %u vectors", name, vectors);
    check_true(strstr(text, "_vec(at") == NULL, "%s: a vector load from the side record",
               name);
}

static uint32_t type_bytes(const char *type)
{
    static const struct {
        const char *name;
        uint32_t bytes;
    } types[] = { { "ushort", 2 }, { "uint", 4 }, { "uvec2", 8 }, { "uvec4", 16 } };

    for (size_t i = 0; i < IQT_COUNT(types); i++)
        if (strcmp(type, types[i].name) == 0)
            return types[i].bytes;
    return 0;
}

/* The loads of a tile's record are aligned and together all of it, once; those of the codes are
 * vectors side by side. */
static void check_tile_loads(const struct iqt_plan *plan, const struct iqt_tile *tile,
                             const char *text)
{
    static const char codes[] = "uvec4 c = *(const uvec4 *)(w_codes + 64u * j);";
    char name[IQT_PLAN_NAME_BYTES], seen[256] = { 0 }, type[16], loop[64];
    uint32_t read = 0;

    iqt_plan_name(plan, name);
    for (const char *p = text; (p = strstr(p, " = *(const ")) != NULL; p++) {
        unsigned at, stride = 0;
        const int found =
            sscanf(p, " = *(const %15s *)(w_record + %uu + lane %% 4u * %uu);", type, &at,
                   &stride);
        const uint32_t bytes = found < 2 ? 0 : type_bytes(type);

        if (found < 2)
            continue;
        check_true(bytes && at % bytes == 0 && stride % bytes == 0 &&
                       tile->record_bytes % bytes == 0,
                   "%s: a load of %s at byte %u, stride %u, of records of %u bytes", name,
                   type, at, stride, tile->record_bytes);
        for (uint32_t span = 0; span < (stride ? 4 : 1); span++)
            for (uint32_t i = at + stride * span; i < at + stride * span + bytes; i++) {
                check_true(i < tile->record_bytes && !seen[i],
                           "%s reads byte %u of a record of %u twice or behind it", name,
                           i, tile->record_bytes);
                if (i < sizeof seen)
                    seen[i] = 1;
                read++;
            }
    }
    check_true(read == tile->record_bytes, "%s reads %u bytes of records of %u", name,
               read, tile->record_bytes);
    snprintf(loop, sizeof loop, "(uint j = 0u; j < %uu; j++)", tile->words);
    const char *p = strstr(text, codes);
    check_true(p != NULL && strstr(text, loop) != NULL && strstr(p + 1, codes) == NULL,
               "%s: the codes are not loaded once, by %u vectors", name, tile->words);
}

static void check_packed_loads(const struct iqt_format *f)
{
    static const enum iqt_dialect dialects[] = { IQT_DIALECT_GLSL, IQT_DIALECT_CUDA,
                                                 IQT_DIALECT_HIP };
    struct iqt_plan *list = malloc(MOST * sizeof(*list));
    struct iqt_tile tile;

    if (!check_begin("packed.%s", f->name)) {
        free(list);
        return;
    }
    for (size_t d = 0; d < IQT_COUNT(dialects); d++) {
        const size_t count = iqt_plan_list(f, dialects[d], IQT_OP_MATVEC, 1,
                                           IQT_LAYOUT_PACKED, NULL, list, MOST);

        for (size_t i = check_rand() % 20; i < count && i < MOST; i += 20) {
            struct iqt_buf text = { 0 };

            if (list[i].compute == IQT_COMPUTE_MMA) /* test_sim_counts.c */
                continue;
            if (iqt_emit_kernel(&list[i], &text) != IQT_OK)
                check_fail("%s", iqt_last_error());
            else if (iqt_tile_init(&tile, f, dialects[d]))
                check_tile_loads(&list[i], &tile, text.data);
            else
                check_loads(&list[i], text.data);
            iqt_buf_free(&text);
        }
    }
    free(list);
    check_end();
}

static void check_illegal(void)
{
    struct iqt_buf text = { 0 };
    struct iqt_plan plan;

    if (!check_begin("illegal"))
        return;
    check_true(iqt_plan_parse(golden[0], &plan) == IQT_OK, "%s", iqt_last_error());
    plan.threads = 3;
    check_true(iqt_emit_kernel(&plan, &text) == IQT_ERR_UNSUPPORTED, "t3 was emitted");
    iqt_buf_free(&text);
    check_end();
}

/* ---- Identities of the GLSL decoders, for every code and seed ---- */

static void check_two_bits(void)
{
    if (!check_begin("identity.two_bits"))
        return;
    for (uint32_t codes = 0; codes < 256; codes++) {
        const uint32_t c =
            (codes & 3) | (codes & 12) << 6 | (codes & 48) << 12 | (codes & 192) << 18;
        const uint32_t v = c << 4 | (c << 1 & ~c & 0x02020202u);

        for (uint32_t i = 0; i < 4; i++)
            check_true((int)(v >> 8 * i & 255) + iqt_codebook_q2.value[0] ==
                           iqt_codebook_q2.value[codes >> 2 * i & 3],
                       "code %u of %02x", i, codes);
    }
    check_end();
}

/* Two products of factors below 2^24 are the product of 32 bits. */
static void check_states(const struct iqt_format *f)
{
    const struct iqt_trellis *t = f->trellis;
    uint32_t power = 1;

    if (!check_begin("identity.states.%s", f->name))
        return;
    for (uint32_t n = 0; n < t->group; n++) {
        uint32_t wrong = 0;

        power *= t->multiplier;
        for (uint32_t seed = 0; seed < 1u << 17; seed++)
            wrong += seed * (power & 0x7fffff) +
                         (seed << 15 & 0xff8000) * (power >> 23 << 8) !=
                     seed * power;
        check_true(wrong == 0, "state %u: %u seeds", n, wrong);
    }
    check_end();
}

/* The sign bit's sign for the magnitude of a sum of bytes, as two bytes that are added. */
static void check_turn(void)
{
    if (!check_begin("identity.turn"))
        return;
    for (int sum = -126; sum <= 126; sum++)
        for (uint32_t sign = 0; sign < 2; sign++) {
            const uint32_t s = (uint8_t)sum, turn = (s ^ sign << 7) & 0x80;
            const int one = (int8_t)(s ^ ((turn << 1) - (turn >> 7)));
            const int magnitude = sum < 0 ? -sum : sum;

            check_true(one + (int)(turn >> 7) == (sign ? -magnitude : magnitude),
                       "sum %d, sign %u", sum, sign);
        }
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(golden); i++)
        check_golden(golden[i]);
    check_deterministic();
    check_illegal();
    check_two_bits();
    check_turn();
    for (const struct iqt_format *f = iqt_formats; f->name; f++) {
        check_packed_loads(f);
        if (f->decode == IQT_DECODE_TRELLIS)
            check_states(f);
    }
    return check_done();
}
