/* Builds and runs lists of moves. */
#include "kernels/bit_moves.h"

#include <assert.h>
#include <string.h>

void iqt_moves_begin(struct iqt_moves *m, uint32_t words)
{
    assert(words <= IQT_MOVE_WORDS);
    m->words = words;
    memset(m->from, 0, sizeof m->from[0] * 32 * words);
    memset(m->flip, 0, sizeof m->flip);
}

void iqt_moves_add(struct iqt_moves *m, uint32_t to, uint32_t from)
{
    uint16_t *slot = m->from[to];

    assert(to / 32 < m->words && slot[1] == 0);
    slot[slot[0] != 0] = (uint16_t)(from + 1);
}

void iqt_moves_flip(struct iqt_moves *m, uint32_t to)
{
    m->flip[to / 32] ^= 1u << to % 32;
}

/* Bits that come from one word by one shift are one move. */
static struct iqt_move *find(struct iqt_move *begin, struct iqt_move *end, uint32_t word,
                             uint8_t left, uint8_t right)
{
    while (begin < end &&
           (begin->word != word || begin->left != left || begin->right != right))
        begin++;
    return begin;
}

static struct iqt_move *add_bit(struct iqt_move *begin, struct iqt_move *end, uint32_t to,
                                uint32_t from)
{
    const uint8_t left = (uint8_t)(to > from % 32 ? to - from % 32 : 0);
    const uint8_t right = (uint8_t)(to < from % 32 ? from % 32 - to : 0);
    struct iqt_move *m = find(begin, end, from / 32, left, right);

    if (m == end)
        *m = (struct iqt_move){ 0, (uint16_t)(from / 32), left, right };
    m->mask |= 1u << to;
    return m == end ? end + 1 : end;
}

void iqt_moves_end(struct iqt_moves *m)
{
    struct iqt_move *end = m->move;

    for (uint32_t w = 0; w < m->words; w++) {
        struct iqt_move *begin = end;

        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t b = 0; b < 32; b++)
                if (m->from[32 * w + b][i])
                    end = add_bit(begin, end, b, m->from[32 * w + b][i] - 1u);
        assert(end <= m->move + IQT_COUNT(m->move));
        m->end[w] = (uint16_t)(end - m->move);
    }
}

IQT_ALWAYS_INLINE void run(const struct iqt_moves *m, const iqt_move_word *in,
                           iqt_move_word *out)
{
    const struct iqt_move *move = m->move;

    for (uint32_t w = 0; w < m->words; w++) {
        const struct iqt_move *end = m->move + m->end[w];
        iqt_move_word sum;

        for (uint32_t l = 0; l < IQT_MOVE_LANES; l++)
            sum[l] = m->flip[w];
        for (; move < end; move++) {
            const uint32_t *from = in[move->word];
            const uint32_t mask = move->mask;

            if (move->left)
                for (uint32_t l = 0; l < IQT_MOVE_LANES; l++)
                    sum[l] ^= from[l] << move->left & mask;
            else
                for (uint32_t l = 0; l < IQT_MOVE_LANES; l++)
                    sum[l] ^= from[l] >> move->right & mask;
        }
        memcpy(out[w], sum, sizeof sum);
    }
}

IQT_FOR_AVX2 static void run_avx2(const struct iqt_moves *m, const iqt_move_word *in,
                                  iqt_move_word *out)
{
    run(m, in, out);
}

void iqt_moves_run(const struct iqt_moves *m, const iqt_move_word *in, iqt_move_word *out)
{
    if (iqt_has_avx2())
        run_avx2(m, in, out);
    else
        run(m, in, out);
}

void iqt_moves_load(iqt_move_word *to, uint32_t lane, const uint8_t *block,
                    uint32_t bytes)
{
    uint32_t i = 0;

    for (; 4 * i + 4 <= bytes; i++)
        memcpy(&to[i][lane], block + (size_t)4 * i, 4);
    if (bytes % 4 != 0) {
        to[i][lane] = 0;
        memcpy(&to[i][lane], block + (size_t)4 * i, bytes % 4);
    }
}
