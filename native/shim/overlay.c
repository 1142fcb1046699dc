#define _GNU_SOURCE
#include "mounting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* 1 when this kernel or the lengths of the paths want the old call. */
static int config_layers(int fs, const struct op *op) {
  for (uint32_t i = 0; i < op->list.count; i++)
    if (config_string(fs, "lowerdir+", op->list.items[i])) return 1;
  if (!op->upper[0]) return 0;
  return config_string(fs, "upperdir", op->upper) || config_string(fs, "workdir", op->work) ? 1 : 0;
}

static char *append(char *at, const char *text) {
  size_t length = strlen(text);
  memcpy(at, text, length);
  return at + length;
}

/* In the one string of options that mount(2) takes, ":" and "," and "\" of a path are escaped. */
static char *append_escaped(char *at, const char *path) {
  for (; *path; path++) {
    if (*path == ':' || *path == ',' || *path == '\\') *at++ = '\\';
    *at++ = *path;
  }
  return at;
}

static size_t overlay_data_size(const struct op *op) {
  size_t size = 64 + 2 * (strlen(op->upper) + strlen(op->work));
  for (uint32_t i = 0; i < op->list.count; i++) size += 2 * strlen(op->list.items[i]) + 1;
  for (uint32_t i = 0; i < op->option_count; i++) size += strlen(op->options[i].key) + 2 + (op->options[i].value ? strlen(op->options[i].value) : 0);
  return size;
}

/* `skip`: bytes of each path that are its start in the current directory. */
static void overlay_data(const struct op *op, size_t skip, char *at) {
  at = append(at, "lowerdir=");
  for (uint32_t i = 0; i < op->list.count; i++) {
    if (i) *at++ = ':';
    at = append_escaped(at, op->list.items[i] + skip);
  }
  if (op->upper[0]) {
    at = append_escaped(append(at, ",upperdir="), op->upper + skip);
    at = append_escaped(append(at, ",workdir="), op->work + skip);
  }
  for (uint32_t i = 0; i < op->option_count; i++) {
    at = append(append(at, ","), op->options[i].key);
    if (op->options[i].value) at = append(append(at, "="), op->options[i].value);
  }
  *at = 0;
}

static size_t common_length(const char *a, const char *b, size_t most) {
  size_t length = 0;
  while (length < most && a[length] && a[length] == b[length]) length++;
  return length;
}

/* How much of all paths is the same folder, with its last slash. */
static size_t common_folder(const struct op *op) {
  const char *first = op->list.count ? op->list.items[0] : op->upper;
  size_t length = strlen(first);
  for (uint32_t i = 1; i < op->list.count; i++) length = common_length(first, op->list.items[i], length);
  if (op->upper[0]) length = common_length(first, op->work, common_length(first, op->upper, length));
  while (length && first[length - 1] != '/') length--;
  return length;
}

/* The options of mount(2) are one page: paths are as short as the folder that they share allows. */
static int mount_overlay(struct context *c, const struct op *op, char *data) {
  size_t skip = common_folder(op);
  char *folder = strndup(op->list.count ? op->list.items[0] : op->upper, skip);
  int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int error = 0;
  overlay_data(op, skip, data);
  if (!folder || before < 0 || (skip && chdir(folder)) || mount("overlay", c->mountpoint, "overlay", 0, data)) error = errno;
  if (before >= 0 && fchdir(before) && !error) error = errno;
  if (before >= 0) close(before);
  free(folder);
  return error;
}

/* Attached at the mountpoint by mount(2), then taken off again as a detached copy. */
static int overlay_by_mount(struct context *c, const struct op *op) {
  char *data = malloc(overlay_data_size(op));
  if (!data) return fail(&c->failure, ENOMEM, "overlay", c->mountpoint);
  int error = mount_overlay(c, op, data);
  free(data);
  if (error) return fail(&c->failure, error, "overlay", op->upper[0] ? op->upper : op->list.count ? op->list.items[0] : "");
  int tree = open_tree(AT_FDCWD, c->mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) fail_errno(&c->failure, "open_tree", c->mountpoint);
  umount2(c->mountpoint, MNT_DETACH);
  return tree;
}

/* Before Linux 6.5 overlay takes its options as one string and only creating looks at them: then any key is taken, and layers
 * one by one are not known. */
static bool takes_one_string(int fs) { return !fsconfig(fs, FSCONFIG_SET_FLAG, "gantry-probe", NULL, 0); }

static int create_overlay(struct context *c, int fs, const struct op *op) {
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
