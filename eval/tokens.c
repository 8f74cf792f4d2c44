/* Byte pair encoding as GPT-2 has it: text is cut into words, the bytes of a word are tokens, and of all
 * neighbours the pair that comes first in the list of merges becomes one, until there is none. */
#include "eval/tokens.h"
#include "eval/unicode.h"
#include "io/gguf_file.h"

#include <stdlib.h>
#include <string.h>

struct token {
    const char *text;
    size_t bytes;
    uint32_t id;
};

struct merge {
    uint32_t left, right, rank, id;
};

struct iqt_vocabulary {
    struct token *token; /* by text */
    size_t tokens;
    struct merge *merge; /* by left and right */
    size_t merges;
    uint32_t byte[256]; /* UINT32_MAX: no token */
    int64_t begin;
};

static int by_text(const void *left, const void *right)
{
    const struct token *a = left, *b = right;
    const size_t least = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = least > 0 ? memcmp(a->text, b->text, least) : 0;

    return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int by_pair(const void *left, const void *right)
{
    const struct merge *a = left, *b = right;

    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return (a->right > b->right) - (a->right < b->right);
}

static uint32_t find_token(const struct iqt_vocabulary *v, const char *text, size_t bytes)
{
    const struct token wanted = { text, bytes, 0 };
    const struct token *found =
        bsearch(&wanted, v->token, v->tokens, sizeof wanted, by_text);

    return found != NULL ? found->id : UINT32_MAX;
}

/* ---- Reading the vocabulary ---- */

static enum iqt_status find_strings(const struct iqt_gguf *g, const char *name,
                                    struct iqt_gguf_key *out)
{
    if (!iqt_gguf_key_find(g, name, out) || out->type != IQT_GGUF_ARRAY ||
        out->item != IQT_GGUF_STRING)
        return iqt_fail(IQT_ERR_FORMAT, "the file has no %s (array of strings)", name);
    return IQT_OK;
}

static enum iqt_status check_text(const struct iqt_gguf *g, const char *name,
                                  const char *wanted)
{
    struct iqt_gguf_key key;
    char found[64] = "nothing";

    if (iqt_gguf_key_find(g, name, &key) && key.type == IQT_GGUF_STRING)
        iqt_escape(found, sizeof found, key.data, (size_t)key.count);
    return strcmp(found, wanted) == 0
               ? IQT_OK
               : iqt_fail(IQT_ERR_UNSUPPORTED, "%s is %s, only %s is known", name, found,
                          wanted);
}

static enum iqt_status read_tokens(struct iqt_vocabulary *v, const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;
    const char *at;

    IQT_TRY(find_strings(g, "tokenizer.ggml.tokens", &key));
    v->tokens = (size_t)key.count;
    v->token = calloc(v->tokens + 1, sizeof *v->token);
    if (v->token == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tokens", v->tokens);
    at = key.data;
    for (size_t i = 0; i < v->tokens; i++) {
        v->token[i] = (struct token){ at + 8, (size_t)iqt_read_u64(at), (uint32_t)i };
        at += 8 + v->token[i].bytes;
    }
    qsort(v->token, v->tokens, sizeof *v->token, by_text);
    return IQT_OK;
}

/* "left right"; false where one of the three tokens is not in the vocabulary. */
static bool read_merge(const struct iqt_vocabulary *v, const char *text, size_t bytes,
                       struct merge *out)
{
    const char *space = bytes > 1 ? memchr(text + 1, ' ', bytes - 1) : NULL;
    char both[256];
    size_t left;

    if (space == NULL || bytes > sizeof both)
        return false;
    left = (size_t)(space - text);
    memcpy(both, text, left);
    memcpy(both + left, space + 1, bytes - left - 1);
    out->left = find_token(v, text, left);
    out->right = find_token(v, space + 1, bytes - left - 1);
    out->id = find_token(v, both, bytes - 1);
    return out->left != UINT32_MAX && out->right != UINT32_MAX && out->id != UINT32_MAX;
}

static enum iqt_status read_merges(struct iqt_vocabulary *v, const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;
    const char *at;

    IQT_TRY(find_strings(g, "tokenizer.ggml.merges", &key));
    v->merge = calloc((size_t)key.count + 1, sizeof *v->merge);
    if (v->merge == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for merges of tokens");
    at = key.data;
    for (size_t i = 0; i < key.count; i++) {
        const size_t bytes = (size_t)iqt_read_u64(at);
        struct merge *m = &v->merge[v->merges];

        m->rank = (uint32_t)i;
        v->merges += read_merge(v, at + 8, bytes, m);
        at += 8 + bytes;
    }
    qsort(v->merge, v->merges, sizeof *v->merge, by_pair);
    return IQT_OK;
}

/* Bytes that can be seen stand for themselves, the others for characters from 256 on. */
static void find_bytes(struct iqt_vocabulary *v)
{
    uint32_t next = 256;

    for (uint32_t b = 0; b < 256; b++) {
        const bool seen = (b > 32 && b < 127) || (b > 160 && b != 173);
        char text[4];
        const size_t bytes = iqt_utf8_write(seen ? b : next++, text);

        v->byte[b] = find_token(v, text, bytes);
    }
}

static void find_begin(struct iqt_vocabulary *v, const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;
    uint64_t id;

    v->begin = -1;
    if (iqt_gguf_key_find(g, "tokenizer.ggml.add_bos_token", &key) &&
        key.type == IQT_GGUF_BOOL && *(const uint8_t *)key.data != 0 &&
        iqt_gguf_key_find(g, "tokenizer.ggml.bos_token_id", &key) &&
        iqt_gguf_key_unsigned(&key, &id) && id < v->tokens)
        v->begin = (int64_t)id;
}

enum iqt_status iqt_vocabulary_create(const struct iqt_gguf *g,
                                      struct iqt_vocabulary **out)
{
    struct iqt_vocabulary *v;
    enum iqt_status status;

    IQT_TRY(check_text(g, "tokenizer.ggml.model", "gpt2"));
    IQT_TRY(check_text(g, "tokenizer.ggml.pre", "gpt-2"));
    v = calloc(1, sizeof *v);
    if (v == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a vocabulary");
    status = read_tokens(v, g);
    if (status == IQT_OK)
        status = read_merges(v, g);
    if (status != IQT_OK) {
        iqt_vocabulary_destroy(v);
        return status;
    }
    find_bytes(v);
    find_begin(v, g);
    *out = v;
    return IQT_OK;
}

void iqt_vocabulary_destroy(struct iqt_vocabulary *v)
{
    if (v == NULL)
        return;
    free(v->token);
    free(v->merge);
    free(v);
}

size_t iqt_vocabulary_count(const struct iqt_vocabulary *v)
{
    return v->tokens;
}

int64_t iqt_vocabulary_begin(const struct iqt_vocabulary *v)
{
    return v->begin;
}

/* ---- Words ---- */

struct text {
    const char *data;
    size_t bytes;
};

/* At the end of the text: no kind of its own. */
static enum iqt_char_kind kind_at(const struct text *t, size_t at, size_t *bytes,
                                  bool *end)
{
    uint32_t c;

    *end = at >= t->bytes;
    *bytes = 0;
    if (*end)
        return IQT_CHAR_OTHER;
    *bytes = iqt_utf8_read(t->data + at, t->bytes - at, &c);
    return iqt_char_kind(c);
}

/* The end of characters of one kind. */
static size_t skip(const struct text *t, size_t at, enum iqt_char_kind kind)
{
    size_t bytes;
    bool end;

    while (kind_at(t, at, &bytes, &end) == kind && !end)
        at += bytes;
    return at;
}

/* 's 't 're 've 'm 'll 'd */
static size_t contraction(const struct text *t, size_t at)
{
    static const char *const endings[] = { "s", "t", "re", "ve", "m", "ll", "d" };

    if (t->data[at] != '\'')
        return 0;
    for (size_t i = 0; i < IQT_COUNT(endings); i++) {
        const size_t length = strlen(endings[i]);

        if (t->bytes - at - 1 >= length &&
            memcmp(t->data + at + 1, endings[i], length) == 0)
            return 1 + length;
    }
    return 0;
}

/* Of several spaces before a word the last belongs to the word. */
static size_t space_end(const struct text *t, size_t at)
{
    const size_t end = skip(t, at, IQT_CHAR_SPACE);
    size_t last = at, bytes;
    bool over;

    if (end == t->bytes)
        return end;
    for (size_t next = at; next < end; next += bytes) {
        last = next;
        kind_at(t, next, &bytes, &over);
    }
    return last > at ? last : end;
}

/* Bytes of the word at at: '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t word_bytes(const struct text *t, size_t at)
{
    const size_t first = at + (t->data[at] == ' ');
    size_t bytes = contraction(t, at);
    enum iqt_char_kind kind;
    bool end;

    if (bytes > 0)
        return bytes;
    kind = kind_at(t, first, &bytes, &end);
    if (!end && kind != IQT_CHAR_SPACE)
        return skip(t, first, kind) - at;
    return space_end(t, at) - at;
}

/* ---- Merging ---- */

static const struct merge *find_merge(const struct iqt_vocabulary *v, uint32_t left,
                                      uint32_t right)
{
    const struct merge wanted = { .left = left, .right = right };

    return bsearch(&wanted, v->merge, v->merges, sizeof wanted, by_pair);
}

/* Merges in place; returns how many tokens are left. */
static size_t merge_word(const struct iqt_vocabulary *v, uint32_t *id, size_t count)
{
    for (;;) {
        const struct merge *best = NULL;
        size_t place = 0;

        for (size_t i = 0; i + 1 < count; i++) {
            const struct merge *m = find_merge(v, id[i], id[i + 1]);

            if (m != NULL && (best == NULL || m->rank < best->rank)) {
                best = m;
                place = i;
            }
        }
        if (best == NULL)
            return count;
        id[place] = best->id;
        memmove(id + place + 1, id + place + 2, (count - place - 2) * sizeof *id);
        count--;
    }
}

enum iqt_status iqt_tokens_encode(const struct iqt_vocabulary *v, const char *text,
                                  size_t bytes, uint32_t **out, size_t *count)
{
    const struct text t = { text, bytes };
    uint32_t *id = malloc((bytes + 1) * sizeof *id); /* a token is a byte at least */
    size_t used = 0;

    if (id == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the tokens of %zu bytes",
                        bytes);
    for (size_t at = 0; at < bytes;) {
        const size_t length = word_bytes(&t, at);

        for (size_t i = 0; i < length; i++) {
            id[used + i] = v->byte[(uint8_t)text[at + i]];
            if (id[used + i] == UINT32_MAX) {
                free(id);
                return iqt_fail(IQT_ERR_FORMAT, "the vocabulary has no token for byte %u",
                                (unsigned)(uint8_t)text[at + i]);
            }
        }
        used += merge_word(v, id + used, length);
        at += length;
    }
    *out = id;
    *count = used;
    return IQT_OK;
}

enum iqt_status iqt_tokens_read(const struct iqt_gguf *g, const char *path,
                                int64_t *begin, uint32_t **out, size_t *count)
{
    struct iqt_vocabulary *v;
    char *text;
    size_t bytes;
    enum iqt_status status;

    IQT_TRY(iqt_vocabulary_create(g, &v));
    *begin = iqt_vocabulary_begin(v);
    status = iqt_file_read(path, &text, &bytes);
    if (status == IQT_OK) {
        status = iqt_tokens_encode(v, text, bytes, out, count);
        free(text);
    }
    iqt_vocabulary_destroy(v);
    return status;
}
