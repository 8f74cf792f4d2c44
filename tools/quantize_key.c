/* What decides the bytes of a quantizer's output, as lines of text: a run may go on with another's work only if
 * all of them are equal. */
#include "tools/quantize_journal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLES = 256, SAMPLE_BYTES = 4096 };

/* Two builds of one version may search differently. */
static enum iqt_status put_program(struct iqt_buf *out)
{
    struct iqt_map map;
    uint64_t hash;

    IQT_TRY(iqt_map_open("/proc/self/exe", &map));
    hash = iqt_hash(map.data, map.bytes, 0);
    iqt_map_close(&map);
    iqt_buf_printf(out, "program %s %016llx\n", iqt_version(), (unsigned long long)hash);
    return IQT_OK;
}

/* Of the whole head and of pages all over the data: reading models whole would take minutes. */
static uint64_t hash_file(const struct iqt_gguf_file *f)
{
    uint64_t hash = iqt_hash(f->data, (size_t)f->data_start, 0);

    for (uint64_t i = 0; i < SAMPLES && f->bytes > SAMPLE_BYTES; i++) {
        const uint64_t last = f->bytes - SAMPLE_BYTES;

        hash = iqt_hash(f->data + (uint64_t)((double)last * (double)i / (SAMPLES - 1)),
                        SAMPLE_BYTES, hash);
    }
    iqt_map_release(&f->map, 0, f->map.bytes);
    return hash;
}

static enum iqt_status put_input(struct iqt_buf *out, const struct iqt_gguf_file *f)
{
    char path[1024];
    struct stat st;

    if (stat(f->path, &st) != 0)
        return iqt_fail(IQT_ERR_IO, "cannot examine %s: %s", f->path, strerror(errno));
    iqt_escape(path, sizeof path, f->path, strlen(f->path));
    iqt_buf_printf(out, "input %s bytes %llu time %lld.%09ld hash %016llx\n", path,
                   (unsigned long long)f->bytes, (long long)st.st_mtim.tv_sec,
                   st.st_mtim.tv_nsec, (unsigned long long)hash_file(f));
    return IQT_OK;
}

/* The values: the same bytes under another name give the same weights. */
static uint64_t hash_importance(const struct iqt_imatrix_entry *e, uint64_t hash)
{
    if (e == NULL)
        return hash + 1;
    hash = iqt_hash(e->sum2, e->matrices * e->columns * sizeof(float), hash);
    return e->count != NULL ? iqt_hash(e->count, e->matrices * sizeof(float), hash)
                            : hash;
}

static uint64_t hash_second(const struct iqt_second_entry *e, uint64_t hash)
{
    const size_t shape[] = { e != NULL ? e->columns : 0, e != NULL ? e->window : 0 };

    hash = iqt_hash(shape, sizeof shape, hash);
    return e == NULL
               ? hash
               : iqt_hash(e->sum, e->matrices * e->columns * e->window * sizeof(float),
                          hash);
}

static uint64_t hash_types(const struct iqt_jobs *jobs)
{
    uint64_t hash = jobs->count;

    for (size_t i = 0; i < jobs->count; i++) {
        const struct iqt_job *job = &jobs->job[i];
        const uint64_t number[] = { job->from.type, job->bytes,
                                    job->type.name != NULL ? job->type.gguf_type
                                                           : UINT64_MAX };

        hash = iqt_hash(number, sizeof number, hash);
        hash = iqt_hash(job->from.name, job->from.name_bytes, hash);
        hash = hash_importance(job->importance, hash);
        hash = hash_second(job->second, hash);
    }
    return hash;
}

enum iqt_status iqt_jobs_key(const struct iqt_jobs *jobs, const struct iqt_gguf *g,
                             uint64_t split, struct iqt_buf *out)
{
    struct iqt_buf key = { 0 };
    enum iqt_status status = put_program(&key);

    for (size_t i = 0; i < g->file_count && status == IQT_OK; i++)
        status = put_input(&key, &g->files[i]);
    iqt_buf_printf(
        &key, "types %016llx of %zu tensors, %llu bytes, files of %llu, quality %d\n",
        (unsigned long long)hash_types(jobs), jobs->count,
        (unsigned long long)jobs->to_bytes, (unsigned long long)split,
        (int)jobs->quality);
    if (status == IQT_OK)
        status = iqt_buf_check(&key);
    if (status == IQT_OK)
        *out = key;
    else
        iqt_buf_free(&key);
    return status;
}
