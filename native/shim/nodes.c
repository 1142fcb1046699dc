#define _GNU_SOURCE
#include "executor.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

int run_mkdir(struct context *c, const struct op *op) {
  int fd = root_make(c->root, op->target, CREATE_DIR, op->mode);
  if (fd < 0) return fail(&c->failure, -fd, "mkdir", op->target);
  close(fd);
  return 0;
}

int run_symlink(struct context *c, const struct op *op) {
  char name[NAME_MAX + 1];
  int parent = root_parent(c->root, op->target, name, sizeof name);
  if (parent < 0) return fail(&c->failure, -parent, "symlink", op->target);
  int error = symlinkat(op->to, parent, name) && errno != EEXIST ? fail_errno(&c->failure, "symlink", op->target) : 0;
  close(parent);
  return error;
}

static mode_t node_type(const struct op *op) { return op->node_type == 'c' ? S_IFCHR : op->node_type == 'b' ? S_IFBLK : S_IFIFO; }

static bool same_node(const struct stat *info, const struct op *op) {
  if ((info->st_mode & S_IFMT) != node_type(op)) return false;
  return op->node_type == 'p' || info->st_rdev == makedev(op->major, op->minor);
}

/* Where nodes cannot be made (user namespaces), the host's own node of the same path is bound. */
static int bind_node(struct context *c, const struct op *op) {
  int tree = open_tree(AT_FDCWD, op->target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return fail_errno(&c->failure, "mknod", op->target);
  struct stat info;
  int error;
  if (fstat(tree, &info) || !same_node(&info, op)) error = fail(&c->failure, EPERM, "mknod", op->target);
  else error = attach_mount(c, tree, op->target, CREATE_FILE, 0644);
  close(tree);
  return error;
}

static int own_node(struct context *c, int parent, const char *name, const struct op *op) {
  struct stat info;
  if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW)) return fail_errno(&c->failure, "mknod", op->target);
  if (!same_node(&info, op)) return fail(&c->failure, EEXIST, "mknod", op->target);
  if ((info.st_uid != op->uid || info.st_gid != op->gid) && fchownat(parent, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW))
    return fail_errno(&c->failure, "chown", op->target);
  return 0;
}

int run_mknod(struct context *c, const struct op *op) {
  char name[NAME_MAX + 1];
  int parent = root_parent(c->root, op->target, name, sizeof name);
  if (parent < 0) return fail(&c->failure, -parent, "mknod", op->target);
  int error;
  if (!mknodat(parent, name, node_type(op) | op->mode, makedev(op->major, op->minor)) || errno == EEXIST) error = own_node(c, parent, name, op);
  else if (errno == EPERM && op->bind_fallback) error = bind_node(c, op);
  else error = fail_errno(&c->failure, "mknod", op->target);
  close(parent);
  return error;
}

int open_null(struct context *c) {
  if (c->null_device >= 0) return 0;
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  struct stat info;
  if (fd < 0 || fstat(fd, &info)) return fail_errno(&c->failure, "open", "/dev/null");
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3)) return fail(&c->failure, ENODEV, "open", "/dev/null");
  c->null_device = fd;
  /* An exec masks nothing. */
  if (!c->plan) return 0;
  c->null_mount.fd = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  return c->null_mount.fd < 0 ? fail_errno(&c->failure, "open_tree", "/dev/null") : 0;
}

/* ---- terminal ---- */

static int open_ptmx(struct context *c) {
  int fd = root_open(c->root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return fail(&c->failure, -fd, "console", "/dev/pts/ptmx");
  struct stat info;
  struct statfs fs;
  if (!fstat(fd, &info) && !fstatfs(fd, &fs) && fs.f_type == DEVPTS_SUPER_MAGIC && S_ISCHR(info.st_mode) && info.st_rdev == makedev(5, 2)) return fd;
  close(fd);
  return fail(&c->failure, ENODEV, "console", "/dev/pts/ptmx");
}

int open_console(struct context *c, uint32_t width, uint32_t height) {
  c->console_master = open_ptmx(c);
  if (c->console_master < 0) return -1;
  int locked = 0;
  struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
  if (ioctl(c->console_master, TIOCSPTLCK, &locked) || (c->console = ioctl(c->console_master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
    return fail_errno(&c->failure, "console", "/dev/pts/ptmx");
  if ((width || height) && ioctl(c->console, TIOCSWINSZ, &size)) return fail_errno(&c->failure, "console", "TIOCSWINSZ");
  return 0;
}

int run_console(struct context *c, const struct op *op) {
  if (open_console(c, op->width, op->height)) return -1;
  int tree = open_tree(c->console, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (tree < 0) return fail_errno(&c->failure, "console", "/dev/console");
  int error = attach_mount(c, tree, "/dev/console", CREATE_FILE, 0620);
  close(tree);
  return error;
}

/* ---- proc ---- */

int open_proc(struct context *c) {
  if (c->proc >= 0) return 0;
  int fs = fsopen("proc", FSOPEN_CLOEXEC);
  if (fs < 0) return fail_errno(&c->failure, "fsopen", "proc");
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) || (c->proc = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0) fail_errno(&c->failure, "fsmount", "proc");
  close(fs);
  return c->proc < 0 ? -1 : 0;
}

int run_sysctl(struct context *c, const struct op *op) {
  if (open_proc(c)) return -1;
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "sys/%s", op->name) >= sizeof path) return fail(&c->failure, ENAMETOOLONG, "sysctl", op->name);
  struct open_how how = {.flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
  int fd = (int)syscall(SYS_openat2, c->proc, path, &how, sizeof how);
  if (fd < 0) return fail_errno(&c->failure, "sysctl", op->name);
  size_t length = strlen(op->data);
  ssize_t written = write(fd, op->data, length);
  int error = written < 0 ? fail_errno(&c->failure, "sysctl", op->name) : (size_t)written < length ? fail(&c->failure, EINVAL, "sysctl", op->name) : 0;
  close(fd);
  return error;
}
