/* Packed rows on disk when something goes wrong: a folder or disk that takes nothing, an upload that fails, weights
 * that change meanwhile, several uploads at once. */
#include "tests/packed_case.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- What cannot be written ---- */

static void check_no_folder(struct target *t)
{
    char inside[PATH_BYTES + 2];
    struct scene s;

    if (!check_begin("no_folder.%s", t->name))
        return;
    if (scene_open(&s, t)) {
        snprintf(inside, sizeof inside, "%s/x",
                 s.path); /* in a file: not even for root */
        keep_in(t, inside);
        expect_same(&s.p, t, 0, false, &s.plain, "a folder in a file");
        expect_note("not kept", "a folder in a file");
        expect_files(1, "a folder in a file");
    }
    scene_close(&s);
    check_end();
}

/* The disk ends within the rows, or within the header. */
static void check_full(struct target *t)
{
    struct rlimit old, small;
    struct scene s;

    if (!check_begin("full.%s", t->name))
        return;
    if (scene_open(&s, t)) {
        const size_t room[] = { 100, IQT_PACKED_HEAD + 100, s.bytes - 1 };

        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &old);
        for (size_t i = 0; i < IQT_COUNT(room); i++) {
            unlink(s.path);
            small = (struct rlimit){ room[i], old.rlim_max };
            setrlimit(RLIMIT_FSIZE, &small);
            expect_same(&s.p, t, 0, false, &s.plain, "a full disk");
            setrlimit(RLIMIT_FSIZE, &old);
            expect_note("not kept", "a full disk");
            expect_files(0, "a full disk");
        }
    }
    scene_close(&s);
    check_end();
}

/* It ends after some blocks, between two pieces of the upload. */
static void check_full_later(struct target *t)
{
    enum { ROWS = 2048, LARGE_K = 4096, ROOM = 2 << 20 };
    struct problem p;
    struct loaded got;
    struct rlimit old;

    if (!check_begin("full_later.%s", t->name))
        return;
    p = random_problem(draw_format(), ROWS, 2 * LARGE_K);
    keep_in(t, kept);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ ROOM, old.rlim_max });
    if (load(&p, t, 0, false, &got))
        expect_note("not kept", "a full disk");
    setrlimit(RLIMIT_FSIZE, &old);
    expect_files(0, "a full disk");
    unload(&got);
    scratch_remove(kept);
    free(p.bytes);
    check_end();
}

/* A folder or a pipe under the name is left alone. */
static void check_no_file(struct target *t)
{
    struct scene s;

    if (!check_begin("no_file.%s", t->name))
        return;
    if (scene_open(&s, t))
        for (int pipe = 0; pipe < 2; pipe++) {
            remove(s.path);
            check_true((pipe ? mkfifo(s.path, 0600) : mkdir(s.path, 0700)) == 0, "%s",
                       s.path);
            expect_same(&s.p, t, 0, false, &s.plain, "no file");
            expect_note("not a regular file", "no file");
        }
    scene_close(&s);
    check_end();
}

/* ---- Uploads that do not end as they began ---- */

static struct {
    const struct iqt_backend *real;
    struct problem p;
    bool fails; /* else the last weight changes */
    uint32_t writes;
} interfered;

static enum iqt_status interfere(struct iqt_stream *s, struct iqt_mem *mem,
                                 uint64_t offset, const void *data, uint64_t bytes)
{
    if (++interfered.writes == 2 && interfered.fails)
        return iqt_fail(IQT_ERR_DEVICE, "planted");
    if (interfered.writes == 2)
        interfered.p.bytes[interfered.p.size - 1] ^= 1;
    return interfered.real->write(s, mem, offset, data, bytes);
}

/* At the second piece of several. */
static void check_interfered(struct target *t, bool fails)
{
    enum { ROWS = 4096, LARGE_K = 8192 }; /* two pieces at 1.75 bits and more */
    struct iqt_backend backend = *t->dev->backend;
    struct iqt_matrix *w = NULL;
    const char *what = fails ? "a failing device" : "weights that change";

    if (!check_begin("%s.%s", fails ? "failing" : "changing", t->name))
        return;
    interfered.real = t->dev->backend;
    interfered.p = random_problem(draw_format(), ROWS, LARGE_K);
    interfered.fails = fails;
    interfered.writes = 0;
    backend.write = interfere;
    t->dev->backend = &backend;
    keep_in(t, kept);
    notes = 0;
    const enum iqt_status status =
        iqt_matrix_upload(t->dev, interfered.p.f, ROWS, LARGE_K, interfered.p.bytes,
                          interfered.p.size, IQT_LAYOUT_PACKED, &w);

    t->dev->backend = interfered.real;
    check_true(status == (fails ? IQT_ERR_DEVICE : IQT_OK) && interfered.writes >= 2,
               "%s: %s after %u pieces", what, iqt_status_name(status),
               interfered.writes);
    expect_note(fails ? "" : "changed while", what);
    expect_files(0, what);
    iqt_matrix_destroy(w);
    scratch_remove(kept);
    free(interfered.p.bytes);
    check_end();
}

/* ---- Several at once ---- */

enum { THREADS = 4 };

struct uploader {
    pthread_t thread;
    struct scene *s;
    bool same;
};

static void *upload_all(void *user)
{
    struct uploader *u = user;
    struct loaded got;

    u->same = load_bytes(&u->s->p, u->s->t, 0, &got) && got.size == u->s->plain.size &&
              memcmp(got.bytes, u->s->plain.bytes, got.size) == 0;
    unload(&got);
    return NULL;
}

static void check_threads(struct target *t)
{
    struct uploader u[THREADS];
    struct scene s;

    if (t->dev->backend->dialect != IQT_DIALECT_HOST ||
        !check_begin("threads.%s", t->name))
        return; /* elsewhere reading back wants a queue for each thread */
    if (scene_open(&s, t)) {
        unlink(s.path);
        for (int i = 0; i < THREADS; i++) {
            u[i] = (struct uploader){ .s = &s };
            if (pthread_create(&u[i].thread, NULL, upload_all, &u[i]) != 0)
                abort();
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(u[i].thread, NULL);
            check_true(u[i].same, "thread %d has other rows", i);
        }
        expect_files(1, "threads");
        expect_same(&s.p, t, 0, false, &s.plain, "after threads");
        expect_note("", "after threads");
    }
    scene_close(&s);
    check_end();
}

static void check_target(struct target *t)
{
    check_no_folder(t);
    check_full(t);
    check_full_later(t);
    check_no_file(t);
    check_threads(t);
    check_interfered(t, false);
    check_interfered(t, true);
}

int main(int argc, char **argv)
{
    return packed_main(argc, argv, check_target, NULL);
}
