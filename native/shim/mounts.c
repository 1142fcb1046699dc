#define _GNU_SOURCE
#include "copy.h"
#include "mounting.h"
#include "idmap.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t propagation_flag(uint8_t type) {
  static const uint64_t flags[] = {0, MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE};
  return flags[type];
}

static int set_propagation(int fd, const char *path, const struct propagation *propagation) {
  struct mount_attr attr = {.propagation = propagation_flag(propagation->type)};
  return mount_setattr(fd, path, (path[0] ? 0 : AT_EMPTY_PATH) | (propagation->recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
}

static int change_attributes(int mount, uint64_t set, uint64_t clear, unsigned flags) {
  if (!set && !clear) return 0;
  struct mount_attr attr = {.attr_set = set, .attr_clr = clear};
  /* The access time setting is one field: it must be cleared to be set. */
  if (set & MOUNT_ATTR__ATIME) attr.attr_clr |= MOUNT_ATTR__ATIME;
  return mount_setattr(mount, "", AT_EMPTY_PATH | flags, &attr, sizeof attr);
}

int set_attributes(struct context *c, int mount, const struct attributes *a, const char *subject) {
  if (change_attributes(mount, a->recursive_set, a->recursive_clear, AT_RECURSIVE) || change_attributes(mount, a->set, a->clear, 0))
    return fail_errno(&c->failure, "mount_setattr", subject);
  return 0;
}

/* With shared propagation the mount that holds the mountpoint would tell the host of our root: it alone becomes private. */
static int make_parent_private(struct context *c) {
  char path[4096];
  snprintf(path, sizeof path, "%s", c->mountpoint);
  for (;;) {
    struct statx info;
    if (statx(AT_FDCWD, path, 0, 0, &info)) return fail_errno(&c->failure, "statx", path);
    if (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) break;
    char *slash = strrchr(path, '/');
    if (!slash) break;
    slash[slash == path] = 0;
  }
  struct propagation private = {PROPAGATION_PRIVATE, false};
  return set_propagation(AT_FDCWD, path, &private) ? fail_errno(&c->failure, "propagation", path) : 0;
}

int run_root_propagation(struct context *c, const struct op *op) {
  if (set_propagation(AT_FDCWD, "/", op->propagations)) return fail_errno(&c->failure, "propagation", "/");
  return op->propagations->type == PROPAGATION_SHARED ? make_parent_private(c) : 0;
}

/* ---- the root ---- */

int config_string(int fs, const char *key, const char *value) { return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0); }

int config_options(struct context *c, int fs, const struct op *op) {
  for (uint32_t i = 0; i < op->option_count; i++) {
    const struct option *option = &op->options[i];
    int error = option->value ? config_string(fs, option->key, option->value) : fsconfig(fs, FSCONFIG_SET_FLAG, option->key, NULL, 0);
    if (error) return fail_errno(&c->failure, "fsconfig", option->key);
  }
  return 0;
}
int open_bind(struct context *c, const char *source, bool recursive) {
  int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
  return tree < 0 ? fail_errno(&c->failure, "open_tree", source) : tree;
}

int open_source(struct context *c, struct op *op) {
  if (op->source_fd >= 0) return 0;
  switch (op->code) {
  case OP_ROOT_OVERLAY:
    op->source_fd = open_overlay(c, op);
    break;
  case OP_ROOT_BIND:
    op->source_fd = open_bind(c, op->source, true);
    if (op->source_fd >= 0 && op->uid_map[0] && idmap_mount(&c->failure, op->source_fd, op)) return -1;
    break;
  case OP_BIND:
    op->source_fd = open_bind(c, op->source, op->recursive);
    if (op->source_fd < 0 || !op->uid_map[0]) break;
    if (op->after_mounts ? ask_idmap(c, c->failure.index, op->source_fd) : idmap_mount(&c->failure, op->source_fd, op)) return -1;
    break;
  default:
    return 0;
  }
  return op->source_fd < 0 ? -1 : 0;
}

int run_root(struct context *c, struct op *op) {
  if (open_source(c, op)) return -1;
  /* The mountpoint is the current directory: below a user namespace its path may be closed to us. */
  if (move_mount(op->source_fd, "", AT_FDCWD, "", ATTACH_FLAGS)) return fail_errno(&c->failure, "move_mount", c->mountpoint);
  c->root = op->source_fd;
  return 0;
}

/* ---- mounts inside it ---- */

/* Takes `at`, which may be a negative errno. */
static int attach_at(struct context *c, int mount, int at, const char *target) {
  if (at < 0) return fail(&c->failure, -at, "target", target);
  int error = move_mount(mount, "", at, "", ATTACH_FLAGS) ? errno : 0;
  close(at);
  return error ? fail(&c->failure, error, "move_mount", target) : 0;
}

int attach_mount(struct context *c, int mount, const char *target, enum create create, mode_t mode) {
  return attach_at(c, mount, root_make(c->root, target, create, mode), target);
}

static int apply_propagations(struct context *c, int mount, const struct op *op) {
  for (uint32_t i = 0; i < op->propagation_count; i++)
    if (set_propagation(mount, "", &op->propagations[i])) return fail_errno(&c->failure, "propagation", op->target);
  return 0;
}

/* A tmpfs takes the mode of the directory that it covers. */
static int inherit_mode(struct context *c, int fs, const struct op *op) {
  int covered = root_open(c->root, op->target, O_PATH);
  if (covered < 0) return 0;
  struct stat info;
  char mode[16] = "";
  if (!fstat(covered, &info)) snprintf(mode, sizeof mode, "%o", info.st_mode & 07777);
  close(covered);
  return mode[0] && config_string(fs, "mode", mode) ? fail_errno(&c->failure, "fsconfig", "mode") : 0;
}

static int new_mount(struct context *c, int fs, const struct op *op) {
  if (op->source[0] && config_string(fs, "source", op->source)) return fail_errno(&c->failure, "fsconfig", op->source);
  if (op->inherit_mode && inherit_mode(c, fs, op)) return -1;
  if (config_options(c, fs, op)) return -1;
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) return fail_errno(&c->failure, "mount", op->target);
  int mount = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)op->attributes.set);
  return mount < 0 ? fail_errno(&c->failure, "fsmount", op->target) : mount;
}

/* What the mount is about to cover; nothing when that is not there. */
static int copy_up(struct context *c, int mount, const char *target) {
  int covered = root_open(c->root, target, O_RDONLY | O_DIRECTORY);
  if (covered < 0) return 0;
  int error = copy_tree(covered, mount);
  close(covered);
  return error ? fail(&c->failure, -error, "copyUp", target) : 0;
}

int run_mount(struct context *c, const struct op *op) {
  int fs = fsopen(op->fstype, FSOPEN_CLOEXEC);
  if (fs < 0) return fail_errno(&c->failure, "fsopen", op->fstype);
  int mount = new_mount(c, fs, op);
  close(fs);
  if (mount < 0) return -1;
  if (op->copy_up && copy_up(c, mount, op->target)) {
    close(mount);
    return -1;
  }
  int at = op->no_links ? root_plain_directory(c->root, op->target) : root_make(c->root, op->target, op->create, op->mode == MODE_ABSENT ? 0755 : op->mode);
  int error = attach_at(c, mount, at, op->target) || apply_propagations(c, mount, op);
  close(mount);
  return error ? -1 : 0;
}

/* What a user namespace could not do to a mount of the host must not happen because it is prepared with the host's rights. */
static int check_locked(struct context *c, const struct op *op) {
  static const struct {
    unsigned long flag;
    uint64_t attribute;
  } lockable[] = {{ST_RDONLY, MOUNT_ATTR_RDONLY}, {ST_NOSUID, MOUNT_ATTR_NOSUID}, {ST_NODEV, MOUNT_ATTR_NODEV}, {ST_NOEXEC, MOUNT_ATTR_NOEXEC}};
  struct statvfs info;
  const struct attributes *a = &op->attributes;
  if (fstatvfs(op->source_fd, &info)) return fail_errno(&c->failure, "statvfs", op->source);
  for (size_t i = 0; i < sizeof lockable / sizeof *lockable; i++)
    if (info.f_flag & lockable[i].flag && (a->clear | a->recursive_clear) & lockable[i].attribute) return fail(&c->failure, EPERM, "locked", op->target);
  if (!(a->clear & MOUNT_ATTR__ATIME)) return 0;
  uint64_t now = info.f_flag & ST_NOATIME ? MOUNT_ATTR_NOATIME : info.f_flag & ST_RELATIME ? MOUNT_ATTR_RELATIME : MOUNT_ATTR_STRICTATIME;
  if (info.f_flag & ST_NODIRATIME) now |= MOUNT_ATTR_NODIRATIME;
  return now == (a->set & (MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME)) ? 0 : fail(&c->failure, EPERM, "locked", op->target);
}

int run_bind(struct context *c, struct op *op) {
  if (open_source(c, op) || (op->keep_locked && check_locked(c, op))) return -1;
  enum create create = op->create;
  if (create == CREATE_LIKE_SOURCE) {
    struct stat info;
    if (fstat(op->source_fd, &info)) return fail_errno(&c->failure, "stat", op->source);
    create = S_ISDIR(info.st_mode) ? CREATE_DIR : CREATE_FILE;
  }
  int error = attach_mount(c, op->source_fd, op->target, create, create == CREATE_DIR ? 0755 : 0644) || apply_propagations(c, op->source_fd, op) ||
              set_attributes(c, op->source_fd, &op->attributes, op->target);
  close(op->source_fd);
  op->source_fd = -1;
  return error ? -1 : 0;
}

int change_mount_at(struct context *c, const char *path, const struct attributes *attributes) {
  int at = root_open(c->root, path, O_PATH);
  if (at < 0) return fail(&c->failure, -at, "target", path);
  int error = set_attributes(c, at, attributes, path);
  close(at);
  return error;
}

int run_set_attributes(struct context *c, const struct op *op) { return change_mount_at(c, op->target, &op->attributes); }

int run_readonly_root(struct context *c) {
  struct attributes readonly = {.set = MOUNT_ATTR_RDONLY};
  return change_mount_at(c, "/", &readonly);
}

int run_rootfs_propagation(struct context *c, const struct op *op) {
  return set_propagation(AT_FDCWD, "/", op->propagations) ? fail_errno(&c->failure, "propagation", "/") : 0;
}
/* ---- making it the root ---- */

static int pivot(struct context *c) {
  int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) return fail_errno(&c->failure, "open", "/");
  int error = 0;
  if (fchdir(c->root)) error = fail_errno(&c->failure, "fchdir", c->mountpoint);
  else if (syscall(SYS_pivot_root, ".", ".")) error = fail_errno(&c->failure, "pivot_root", c->mountpoint);
  /* The old root now lies over the new one: it goes without telling the host, and without touching the new one. */
  struct propagation slave = {PROPAGATION_SLAVE, true};
  if (!error && (set_propagation(old, "", &slave) || fchdir(old) || umount2(".", MNT_DETACH))) error = fail_errno(&c->failure, "umount", "the old root");
  close(old);
  return error;
}

/* A whole proc or sysfs that stays below the new root lets the kernel give further ones to whoever is in there: it goes, or
 * where it is locked (user namespaces) it is covered. */
static int hide_one(struct context *c, const char *path) {
  /* The host shall not hear of it. */
  struct propagation slave = {PROPAGATION_SLAVE, true};
  if (set_propagation(AT_FDCWD, path, &slave)) return fail_errno(&c->failure, "propagation", path);
  if (!umount2(path, MNT_DETACH)) return 0;
  if (errno != EINVAL && errno != EPERM) return fail_errno(&c->failure, "umount", path);
  int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
  int mount = fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? -1 : fsmount(fs, FSMOUNT_CLOEXEC, 0);
  int error = mount < 0 || move_mount(mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) ? errno : 0;
  if (fs >= 0) close(fs);
  if (mount >= 0) close(mount);
  return error ? fail(&c->failure, error, "cover", path) : 0;
}

/* proc(5): "id parent device root mountpoint options ... - type source options"; "\\040" stands for a space. */
static bool parse_proc_mount(char *line, char **path) {
  char *root, *at = line;
  for (int field = 0; field < 3 && at; field++) at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
  char *kind = strstr(line, " - ");
  if (!at || !kind || strncmp(at, "/ ", 2)) return false;
  if (strncmp(kind + 3, "proc ", 5) && strncmp(kind + 3, "sysfs ", 6)) return false;
  root = *path = at + 2;
  char *end = strchr(root, ' ');
  if (!end) return false;
  *end = 0;
  char *to = root;
  for (char *from = root; *from; to++) {
    unsigned value;
    if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) *to = (char)value, from += 4;
    else *to = *from++;
  }
  *to = 0;
  return true;
}

static int hide_host_proc(struct context *c) {
  size_t size = 0;
  char *line = NULL, *path, own[PATH_MAX], link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", c->root);
  ssize_t below = readlink(link, own, sizeof own - 1);
  if (below < 0) return fail_errno(&c->failure, "readlink", link);
  own[below] = 0;
  FILE *mounts = fopen("/proc/self/mountinfo", "re");
  if (!mounts) return fail_errno(&c->failure, "open", "/proc/self/mountinfo");
  char *paths[256];
  size_t count = 0;
  while (count < sizeof paths / sizeof *paths && getline(&line, &size, mounts) > 0)
    if (parse_proc_mount(line, &path) && (strncmp(path, own, (size_t)below) || (path[below] && path[below] != '/')) && (paths[count] = strdup(path))) count++;
  fclose(mounts);
  free(line);
  int error = 0;
  for (size_t i = 0; i < count; i++) {
    if (!error) error = hide_one(c, paths[i]);
    free(paths[i]);
  }
  return error;
}

static int move(struct context *c) {
  if (hide_host_proc(c)) return -1;
  if (fchdir(c->root)) return fail_errno(&c->failure, "fchdir", c->mountpoint);
  if (move_mount(c->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)) return fail_errno(&c->failure, "move_mount", "/");
  return chroot(".") ? fail_errno(&c->failure, "chroot", c->mountpoint) : 0;
}

static int change_root(struct context *c) {
  if (fchdir(c->root) || chroot(".")) return fail_errno(&c->failure, "chroot", c->mountpoint);
  return 0;
}

int run_pivot(struct context *c, const struct op *op) {
  int error = op->pivot == PIVOT_ROOT ? pivot(c) : op->pivot == PIVOT_MOVE ? move(c) : change_root(c);
  if (error) return error;
  return chdir("/") ? fail_errno(&c->failure, "chdir", "/") : 0;
}
