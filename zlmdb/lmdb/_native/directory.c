/* A directory that goes with an object: without a finalizer in Python, which would swallow what signal handlers raise. */
#include "glue.h"
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

enum { ZL_OPEN_FOLDERS = 16 };

zl_directory *zl_directory_alloc(size_t size) { return calloc(1, size); }

/* It is removed with the object, in this process, and not in a forked one. */
int zl_directory_own(zl_directory *directory, const char *path) {
    directory->process = (int64_t)getpid();
    return (directory->path = strdup(path)) ? 0 : ENOMEM;
}

static int zl_remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *where) {
    (void)stat, (void)kind, (void)where;
    remove(path);
    return 0;
}

void zl_directory_remove(zl_directory *directory) {
    if (directory->path && directory->process == (int64_t)getpid())
        nftw(directory->path, zl_remove_entry, ZL_OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    free(directory->path);
    free(directory);
}
