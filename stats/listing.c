/* Listings: lines to instructions, labels to numbers. */
#include "stats/listing_build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INSTRUCTIONS = 1 << 20, NAME_BYTES = 256 };

static const iqt_line_fn line_fns[] = {
    [IQT_SYNTAX_SASS] = iqt_line_sass,
    [IQT_SYNTAX_OBJDUMP] = iqt_line_objdump,
    [IQT_SYNTAX_ACO] = iqt_line_aco,
};

/* Room for one more element of size bytes. */
static enum iqt_status grow(void **array, size_t count, size_t *capacity, size_t bytes)
{
    const size_t next = *capacity ? *capacity * 2 : 256;
    void *larger;

    if (count < *capacity)
        return IQT_OK;
    if (next > MOST_INSTRUCTIONS)
        return iqt_fail(IQT_ERR_FORMAT, "listing: more than %d instructions or labels",
                        MOST_INSTRUCTIONS);
    larger = realloc(*array, next * bytes);
    if (larger == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a listing");
    *array = larger;
    *capacity = next;
    return IQT_OK;
}

enum iqt_status iqt_build_function(struct iqt_build *b, const char *name)
{
    if (b->inside)
        b->done = true;
    if (b->done || (b->wanted != NULL && strcmp(name, b->wanted) != 0))
        return IQT_OK;
    b->inside = true;
    b->list.function = strndup(name, NAME_BYTES);
    if (b->list.function == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a listing");
    return IQT_OK;
}

enum iqt_status iqt_build_label(struct iqt_build *b, const char *name)
{
    IQT_TRY(grow((void **)&b->label, b->labels, &b->label_capacity, sizeof *b->label));
    b->label[b->labels++] = (struct iqt_label){ .name = name, .at = b->list.count };
    return IQT_OK;
}

enum iqt_status iqt_build_add(struct iqt_build *b, uint64_t address, char *text,
                              const char *goal)
{
    const size_t length = strcspn(text, " \t");
    size_t capacity = b->capacity;
    struct iqt_instruction *to;

    if (length == 0 || length >= IQT_MNEMONIC_BYTES)
        return iqt_fail(IQT_ERR_FORMAT, "listing, line %zu: no instruction in '%.60s'",
                        b->line, text);
    if (b->list.count > 0 && address <= b->list.at[b->list.count - 1].address)
        return iqt_fail(IQT_ERR_FORMAT,
                        "listing, line %zu: address 0x%llx does not follow 0x%llx",
                        b->line, (unsigned long long)address,
                        (unsigned long long)b->list.at[b->list.count - 1].address);
    IQT_TRY(grow((void **)&b->goal, b->list.count, &capacity, sizeof *b->goal));
    IQT_TRY(grow((void **)&b->list.at, b->list.count, &b->capacity, sizeof *b->list.at));
    b->goal[b->list.count] = goal;
    to = &b->list.at[b->list.count++];
    to->address = address;
    to->target = IQT_NO_TARGET;
    memcpy(to->mnemonic, text, length);
    to->mnemonic[length] = '\0';
    to->operands = text + length + strspn(text + length, " \t");
    return IQT_OK;
}

/* ---- Branch targets ---- */

static int by_name(const void *a, const void *b)
{
    const struct iqt_label *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int by_address(const void *a, const void *b)
{
    const struct iqt_instruction *x = a, *y = b;

    return (x->address > y->address) - (x->address < y->address);
}

/* "+0x1c4": a distance from the function's beginning, as llvm-objdump writes it. */
static size_t find_distance(const struct iqt_build *b, const char *text)
{
    const struct iqt_instruction key = { .address =
                                             b->base + strtoull(text + 1, NULL, 16) };
    const struct iqt_instruction *found =
        bsearch(&key, b->list.at, b->list.count, sizeof key, by_address);

    return found != NULL ? (size_t)(found - b->list.at) : IQT_NO_TARGET;
}

static size_t find_label(const struct iqt_build *b, const char *name)
{
    const struct iqt_label key = { .name = name };
    const struct iqt_label *found =
        b->labels > 0 ? bsearch(&key, b->label, b->labels, sizeof key, by_name) : NULL;

    return found != NULL && found->at < b->list.count ? found->at : IQT_NO_TARGET;
}

static void resolve(struct iqt_build *b)
{
    if (b->labels > 0)
        qsort(b->label, b->labels, sizeof *b->label, by_name);
    for (size_t i = 0; i < b->list.count; i++) {
        if (b->goal[i] != NULL)
            b->list.at[i].target = *b->goal[i] == '+' ? find_distance(b, b->goal[i])
                                                      : find_label(b, b->goal[i]);
    }
}

/* ---- All lines ---- */

static enum iqt_status read_lines(struct iqt_build *b, iqt_line_fn fn)
{
    for (char *at = b->list.text, *next; at != NULL && !b->done; at = next) {
        size_t length;

        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        for (length = strlen(at); length > 0 && isspace((unsigned char)at[length - 1]);)
            at[--length] = '\0';
        b->line++;
        IQT_TRY(fn(b, at));
    }
    if (!b->inside && b->wanted != NULL)
        return iqt_fail(IQT_ERR_UNKNOWN, "listing: no function '%s'", b->wanted);
    if (b->list.count == 0)
        return iqt_fail(IQT_ERR_FORMAT, "listing of %zu lines has no instructions",
                        b->line);
    resolve(b);
    return IQT_OK;
}

enum iqt_status iqt_listing_parse(enum iqt_syntax syntax, const char *text,
                                  const char *function, struct iqt_listing *out)
{
    struct iqt_build b = { .wanted = function };
    enum iqt_status status;

    b.list.text = strdup(text);
    if (b.list.text == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a listing");
    status = read_lines(&b, line_fns[syntax]);
    free(b.label);
    free(b.goal);
    if (status == IQT_OK)
        *out = b.list;
    else
        iqt_listing_free(&b.list);
    return status;
}

void iqt_listing_free(struct iqt_listing *l)
{
    free(l->text);
    free(l->function);
    free(l->at);
    *l = (struct iqt_listing){ 0 };
}
