/* What the files that mount share. */
#ifndef GANTRY_MOUNTING_H
#define GANTRY_MOUNTING_H

#include <sys/mount.h>

#include "executor.h"

#define ATTACH_FLAGS (MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
#define NOSUID_NODEV_NOEXEC (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* fsconfig(2) of one string; 0 or -1 with errno. */
int config_string(int fs, const char *key, const char *value);
int config_options(struct context *c, int fs, const struct op *op);
/* A detached mount, or -1 with the failure set. */
int open_overlay(struct context *c, const struct op *op);
int open_bind(struct context *c, const char *source, bool recursive);
/* `path` is the root of a mount. */
int change_mount_at(struct context *c, const char *path, const struct attributes *attributes);

#endif
