/* A folder that a test has for itself, and takes away with all that is in it. */
#ifndef IQT_TESTS_SCRATCH_H
#define IQT_TESTS_SCRATCH_H

#include "tests/check.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

/* folder: a template of mkdtemp(). */
static inline void scratch_make(char *folder)
{
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
}

/* Of files and folders in it; UINT32_MAX: there is no such folder. */
static inline uint32_t scratch_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    uint32_t count = 0;

    if (dir == NULL)
        return UINT32_MAX;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2; /* "." and ".." */
}

static int scratch_remove_entry(const char *path, const struct stat *st, int type,
                                struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const char *folder)
{
    nftw(folder, scratch_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
