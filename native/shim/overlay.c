#define _GNU_SOURCE
#include "idmap.h"
#include "mounting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* 1 when this kernel or the lengths of the paths want the old call. */
static int config_layers(int fs, const struct op *op) {
  for (uint32_t i = 0; i < op->list.count; i++)
    if (config_string(fs, "lowerdir+", op->list.items[i])) return 1;
  if (!op->upper[0]) return 0;
  return config_string(fs, "upperdir", op->upper) || config_string(fs, "workdir", op->work) ? 1 : 0;
}

/* ---- older kernels: the options of mount(2) are one page. Layers have short names by links in a tmpfs that is mounted nowhere. */

#define PAGE 4096

static int open_tmpfs(void) {
  int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), mount = -1;
  if (fs < 0) return -1;
  if (!fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
  int saved = errno;
  close(fs);
  errno = saved;
  return mount;
}

static int append(char *data, const char *before, const char *text) {
  size_t length = strlen(data), size = strlen(before) + strlen(text);
  if (length + size >= PAGE) {
    errno = E2BIG;
    return -1;
  }
  memcpy(stpcpy(data + length, before), text, strlen(text) + 1);
  return 0;
}

static int append_option(char *data, const struct option *option) {
  if (append(data, ",", option->key)) return -1;
  return option->value ? append(data, "=", option->value) : 0;
}

static int describe_overlay(const struct op *op, int links, char *data) {
  if (append(data, "lowerdir=", "")) return -1;
  for (uint32_t i = 0; i < op->list.count; i++) {
    char name[16];
    snprintf(name, sizeof name, "%x", i);
    if (symlinkat(op->list.items[i], links, name) || append(data, i ? ":" : "", name)) return -1;
  }
  if (op->upper[0] && (symlinkat(op->upper, links, "upper") || symlinkat(op->work, links, "work") || append(data, ",upperdir=upper", ",workdir=work"))) return -1;
  for (uint32_t i = 0; i < op->option_count; i++)
    if (append_option(data, &op->options[i])) return -1;
  return 0;
}

/* 0 or an errno. */
static int mount_overlay(struct context *c, const struct op *op) {
  char data[PAGE] = "";
  int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), links = open_tmpfs(), error = 0;
  if (before < 0 || links < 0 || describe_overlay(op, links, data) || fchdir(links) || mount("overlay", c->mountpoint, "overlay", 0, data)) error = errno;
  if (before >= 0 && fchdir(before) && !error) error = errno;
  if (before >= 0) close(before);
  if (links >= 0) close(links);
  return error;
}

/* Attached at the mountpoint by mount(2), then taken off again as a detached copy. */
static int overlay_by_mount(struct context *c, const struct op *op) {
  int error = mount_overlay(c, op);
  if (error) return fail(&c->failure, error, "overlay", op->upper[0] ? op->upper : op->list.count ? op->list.items[0] : "");
  int tree = open_tree(AT_FDCWD, c->mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) fail_errno(&c->failure, "open_tree", c->mountpoint);
  umount2(c->mountpoint, MNT_DETACH);
  return tree;
}

/* Before Linux 6.5 overlay takes its options as one string and only creating looks at them: then any key is taken, and layers
 * one by one are not known. */
static bool takes_one_string(int fs) { return !fsconfig(fs, FSCONFIG_SET_FLAG, "gantry-probe", NULL, 0); }

/* ---- layers whose ids are mapped: the folder that has them all gets an id-mapped mount over it, in a mount namespace that only a
 * child is in. Overlay does its work as who made it: that must be one whom the maps know, with root's capabilities. */

static int configure_mapped(struct context *c, int fs, int folder, const struct op *op) {
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || move_mount(folder, "", AT_FDCWD, op->source, MOVE_MOUNT_F_EMPTY_PATH)) return errno;
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)) return errno;
  setfsgid(op->gid);
  setfsuid(op->uid);
  if (takes_one_string(fs) || config_layers(fs, op)) return EOPNOTSUPP;
  if (config_options(c, fs, op) || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) return errno;
  return 0;
}

static int create_mapped(struct context *c, int fs, const struct op *op) {
  int folder = open_bind(c, op->source, false), status = 0;
  if (folder < 0) return -1;
  if (idmap_mount(&c->failure, folder, op)) {
    close(folder);
    return -1;
  }
  pid_t child = fork();
  if (child == 0) _exit(configure_mapped(c, fs, folder, op));
  int error = child < 0 ? errno : 0;
  close(folder);
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR);
  if (!error && status) error = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  if (error) return fail(&c->failure, error, "overlay", op->upper[0] ? op->upper : op->source);
  int mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
  return mount < 0 ? fail_errno(&c->failure, "fsmount", "overlay") : mount;
}

static int create_overlay(struct context *c, int fs, const struct op *op) {
  if (op->uid_map[0]) return create_mapped(c, fs, op);
  if (takes_one_string(fs) || config_layers(fs, op)) return overlay_by_mount(c, op);
  if (config_options(c, fs, op)) return -1;
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) return fail_errno(&c->failure, "overlay", op->upper[0] ? op->upper : op->list.count ? op->list.items[0] : "");
  int mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
  return mount < 0 ? fail_errno(&c->failure, "fsmount", "overlay") : mount;
}

int open_overlay(struct context *c, const struct op *op) {
  int fs = fsopen("overlay", FSOPEN_CLOEXEC);
  if (fs < 0) return fail_errno(&c->failure, "fsopen", "overlay");
  int mount = create_overlay(c, fs, op);
  close(fs);
  return mount;
}
