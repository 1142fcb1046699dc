/* Paths inside a root file system, resolved by openat2 so that neither ".." nor a link leads out of it. All return an fd or -errno. */
#ifndef GANTRY_ROOT_H
#define GANTRY_ROOT_H

#include <stddef.h>
#include <sys/types.h>

#include "plan.h"

/* Opens `path` below `root` with `flags` (O_CLOEXEC is added); no magic links. */
int root_open(int root, const char *path, int flags);

/* An O_PATH fd of `path`, made with its parents (0755) when missing and `create` is CREATE_FILE or CREATE_DIR. */
int root_make(int root, const char *path, enum create create, mode_t mode);

/* An O_PATH fd of the directory `path`, made when missing; -ELOOP when a link is on the way. */
int root_plain_directory(int root, const char *path);

/* An O_PATH fd of the directory that `path` is in, made when missing; the last component goes to `name`. */
int root_parent(int root, const char *path, char *name, size_t size);

#endif
