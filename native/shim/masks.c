#define _GNU_SOURCE
#include "mounting.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* One empty read-only tmpfs serves all masked directories. */
static int masked_directory(struct context *c) {
  if (c->masked_directory.fd >= 0) return 0;
  int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return fail_errno(&c->failure, "fsopen", "tmpfs");
  if (config_string(fs, "source", "tmpfs") || config_string(fs, "nr_inodes", "1") || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ||
      (c->masked_directory.fd = fsmount(fs, FSMOUNT_CLOEXEC, NOSUID_NODEV_NOEXEC | MOUNT_ATTR_RDONLY)) < 0)
    fail_errno(&c->failure, "fsmount", "tmpfs");
  close(fs);
  return c->masked_directory.fd < 0 ? -1 : 0;
}

/* Before Linux 6.15 only an attached mount can be copied: the first target gets the mount itself, the others copies of it there. */
static int cover(struct context *c, int target, struct cover *with, const char *path) {
  int mount = with->attached ? open_tree(with->fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH) : with->fd;
  if (mount < 0) return fail_errno(&c->failure, "open_tree", path);
  int error = move_mount(mount, "", target, "", ATTACH_FLAGS) ? errno : 0;
  if (mount != with->fd) close(mount);
  with->attached = true;
  return error ? fail(&c->failure, error, "move_mount", path) : 0;
}

int run_mask_path(struct context *c, const struct op *op) {
  int target = root_open(c->root, op->target, O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return fail(&c->failure, -target, "target", op->target);
  struct stat info;
  int error;
  if (fstat(target, &info)) error = fail_errno(&c->failure, "stat", op->target);
  else if (S_ISDIR(info.st_mode)) error = masked_directory(c) ? -1 : cover(c, target, &c->masked_directory, op->target);
  else error = cover(c, target, &c->null_mount, op->target);
  close(target);
  return error;
}

static int make_readonly(struct context *c, int target, const char *path) {
  int copy = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
  if (copy < 0) return fail_errno(&c->failure, "open_tree", path);
  struct attributes readonly = {.set = MOUNT_ATTR_RDONLY};
  int error = set_attributes(c, copy, &readonly, path);
  if (!error && move_mount(copy, "", target, "", ATTACH_FLAGS)) error = fail_errno(&c->failure, "move_mount", path);
  close(copy);
  return error;
}

int run_readonly_path(struct context *c, const struct op *op) {
  int target = root_open(c->root, op->target, O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return fail(&c->failure, -target, "target", op->target);
  int error = make_readonly(c, target, op->target);
  close(target);
  return error;
}
