/* What earlier runs found, as lines of text in one file that only grows: a run that is interrupted
 * has lost nothing, and two at a time do no harm. A line that is not understood is no result. */
#include "tests/gates/gates.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t key; /* 0: free */
    struct iqt_binary_info info;
};

struct gate_cache {
    struct entry *entry; /* open addressing */
    size_t count, capacity;
    FILE *file;
};

uint64_t gate_cache_key(uint64_t text, const char *target, const char *compiler)
{
    const uint64_t key =
        iqt_hash(compiler, strlen(compiler), iqt_hash(target, strlen(target), text));

    return key != 0 ? key : 1;
}

static struct entry *find(struct entry *entry, size_t capacity, uint64_t key)
{
    size_t at = key % capacity;

    while (entry[at].key != 0 && entry[at].key != key)
        at = (at + 1) % capacity;
    return &entry[at];
}

static bool grow(struct gate_cache *c)
{
    const size_t capacity = c->capacity ? 2 * c->capacity : 4096;
    struct entry *grown = calloc(capacity, sizeof *grown);

    if (grown == NULL)
        return false;
    for (size_t i = 0; i < c->capacity; i++)
        if (c->entry[i].key != 0)
            *find(grown, capacity, c->entry[i].key) = c->entry[i];
    free(c->entry);
    c->entry = grown;
    c->capacity = capacity;
    return true;
}

static void insert(struct gate_cache *c, uint64_t key, const struct iqt_binary_info *info)
{
    struct entry *e;

    if (2 * c->count >= c->capacity && !grow(c))
        return;
    e = find(c->entry, c->capacity, key);
    c->count += e->key == 0;
    *e = (struct entry){ key, *info };
}

static const char line_format[] =
    "%016" PRIx64 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " .\n";

static void read_line(struct gate_cache *c, const char *line)
{
    struct iqt_binary_info info;
    uint64_t key;
    char end;

    if (sscanf(line,
               "%16" SCNx64 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32
               " %c",
               &key, &info.registers, &info.scalars, &info.stack_bytes, &info.spills,
               &info.shared_bytes, &end) == 7 &&
        end == '.' && key != 0)
        insert(c, key, &info);
}

struct gate_cache *gate_cache_open(const char *path)
{
    struct gate_cache *c = calloc(1, sizeof *c);
    char line[256];

    if (c == NULL || !grow(c)) {
        free(c);
        return NULL;
    }
    if (*path != '\0')
        c->file = fopen(path, "a+");
    if (c->file == NULL)
        return c;
    rewind(c->file);
    while (fgets(line, sizeof line, c->file) != NULL)
        read_line(c, line);
    return c;
}

void gate_cache_close(struct gate_cache *c)
{
    if (c == NULL)
        return;
    if (c->file != NULL)
        fclose(c->file);
    free(c->entry);
    free(c);
}

bool gate_cache_find(const struct gate_cache *c, uint64_t key,
                     struct iqt_binary_info *out)
{
    const struct entry *e = find(c->entry, c->capacity, key);

    if (e->key == 0)
        return false;
    *out = e->info;
    return true;
}

void gate_cache_add(struct gate_cache *c, uint64_t key,
                    const struct iqt_binary_info *info)
{
    insert(c, key, info);
    if (c->file == NULL)
        return;
    fprintf(c->file, line_format, key, info->registers, info->scalars, info->stack_bytes,
            info->spills, info->shared_bytes);
    fflush(c->file);
}
