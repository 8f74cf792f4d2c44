/* What simulated kernels and the machine share: this text is also part of every kernel's prelude. */
struct SimThread {
    unsigned x, y, z;
};
struct SimRuntime {
    SimThread thread, group, threads, groups; /* of the running GPU thread */
    unsigned warp;
    void (*barrier)(int line);
    /* One value of up to 8 bytes from lane `from` of the warp; -1: nothing is read. */
    unsigned long long (*shuffle)(int line, unsigned long long mask,
                                  unsigned long long value, int from);
    void (*access)(const void *at, unsigned bytes, bool write);
    void (*undefined)(const char *what, const void *location);
    alignas(16) unsigned char arguments[1024];
};
