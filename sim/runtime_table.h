/* What simulated kernels and the machine share: this text is also part of every kernel's prelude. */
struct SimThread {
    unsigned x, y, z;
};
struct SimRuntime {
    SimThread thread, group, threads, groups; /* of the running GPU thread */
    unsigned warp;
    void (*barrier)(int line);
    /* One value of up to 8 bytes from lane `from` of the warp; -1: nothing is read; -2: what
     * lanes of the warp did to shared memory before is ordered, too. */
    unsigned long long (*shuffle)(int line, unsigned long long mask,
                                  unsigned long long value, int from);
    /* Up to eight words of each lane of the warp, as they all came: words [8 * lane + i]. */
    const unsigned *(*gather)(int line, const unsigned *own, unsigned count);
    void (*access)(const void *at, unsigned bytes, bool write, const void *site);
    void (*undefined)(const char *what, const void *location);
    void (*fence)(); /* of the device */
    unsigned (*atomic_add)(unsigned *at, unsigned value);
    unsigned long long primitive[16]; /* counted launches */
    alignas(16) unsigned char arguments[4096];
};
