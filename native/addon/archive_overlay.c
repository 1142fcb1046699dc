/* An overlay mounted nowhere: a file descriptor of its root, gone when that is closed. */
#define _GNU_SOURCE
#include "archive.h"
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct overlay {
  const char *const *lowers;
  size_t count;
  const char *upper, *work;
  const char *const *options;
  size_t option_count;
  const struct overlay_maps *maps; /* or NULL */
  int fd, error;
};

static int set(int context, const char *key, const char *value) { return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0); }

static int set_option(int context, const char *option) {
  char pair[256], *equals;
  snprintf(pair, sizeof pair, "%s", option);
  equals = strchr(pair, '=');
  if (!equals) return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, pair, NULL, 0);
  *equals++ = 0;
  return set(context, pair, equals);
}

/* The layers of an overlay, one by one: 1 on a kernel that does not know them so (before Linux 6.7). */
static int set_layers(int context, const struct overlay *o) {
  /* Before 6.5 any key is taken, and only creating looks at them. */
  if (!syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "gantry-probe", NULL, 0)) return 1;
  for (size_t i = 0; i < o->count; i++)
    if (set(context, "lowerdir+", o->lowers[i])) return i == 0 && errno == EINVAL ? 1 : -1;
  return *o->upper && (set(context, "upperdir", o->upper) || set(context, "workdir", o->work)) ? -1 : 0;
}

static int make_mount(int context) {
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) return -1;
  return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
}

static void close_keeping_errno(int fd) {
  int saved = errno;
  if (fd >= 0) close(fd);
  errno = saved;
}

/* ---- older kernels: mount(2), whose options are one page. Layers have short names by links in a tmpfs that is mounted nowhere;
 * the overlay is attached for a moment in a mount namespace that only this thread is in. */

static int open_tmpfs(void) {
  int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  int fd = context < 0 ? -1 : make_mount(context);
  close_keeping_errno(context);
  return fd;
}

static int append(char *data, const char *format, ...) {
  size_t length = strlen(data), page = 4096;
  va_list arguments;
  va_start(arguments, format);
  int added = vsnprintf(data + length, page - length, format, arguments);
  va_end(arguments);
  if (added >= 0 && (size_t)added < page - length) return 0;
  errno = E2BIG;
  return -1;
}

static int describe(const struct overlay *o, int links, char *data) {
  char name[20];
  if (append(data, "lowerdir=")) return -1;
  for (size_t i = 0; i < o->count; i++) {
    snprintf(name, sizeof name, "%zx", i);
    if (symlinkat(o->lowers[i], links, name) || append(data, i ? ":%s" : "%s", name)) return -1;
  }
  if (*o->upper && (symlinkat(o->upper, links, "upper") || symlinkat(o->work, links, "work") || append(data, ",upperdir=upper,workdir=work"))) return -1;
  for (size_t i = 0; i < o->option_count; i++)
    if (append(data, ",%s", o->options[i])) return -1;
  return 0;
}

static int mount_by_links(const struct overlay *o) {
  char data[4096] = "";
  const char *place = o->count ? o->lowers[0] : o->upper;
  int links = open_tmpfs(), fd = -1;
  if (links >= 0 && !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !describe(o, links, data) && !fchdir(links) && !mount("overlay", place, "overlay", 0, data))
    fd = (int)syscall(SYS_open_tree, AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  close_keeping_errno(links);
  return fd;
}

static int mount_layers(struct overlay *o) {
  int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC), fd = -1;
  if (context < 0) return -1;
  int result = set_layers(context, o);
  if (result == 1) errno = EOPNOTSUPP;
  for (size_t i = 0; !result && i < o->option_count; i++) result = set_option(context, o->options[i]);
  if (!result) fd = make_mount(context);
  close_keeping_errno(context);
  return fd;
}

/* In a mount namespace that only this thread is in, the folder that has all layers is covered by a mount of it with mapped ids.
 * Overlay does its work as who made it: that must be one whom the maps know, with root's capabilities. */
static int mount_mapped(struct overlay *o) {
  const struct overlay_maps *maps = o->maps;
  int folder = userns_mapped(maps->userns, maps->folder);
  if (folder < 0) return -1;
  int failed = unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
               syscall(SYS_move_mount, folder, "", AT_FDCWD, maps->folder, MOVE_MOUNT_F_EMPTY_PATH) || prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
  close_keeping_errno(folder);
  if (failed) return -1;
  setfsgid(maps->gid);
  setfsuid(maps->uid);
  return mount_layers(o);
}

static void *mount_in_thread(void *data) {
  struct overlay *o = data;
  o->fd = o->maps ? mount_mapped(o) : mount_by_links(o);
  o->error = errno;
  return NULL;
}

static int open_in_thread(struct overlay *o) {
  pthread_t thread;
  errno = pthread_create(&thread, NULL, mount_in_thread, o);
  if (errno) return -1;
  pthread_join(thread, NULL);
  errno = o->error;
  return o->fd;
}

int overlay_open(const char *const *lowers, size_t count, const char *upper, const char *work, const char *const *options, size_t option_count, const struct overlay_maps *maps) {
  struct overlay o = {lowers, count, upper, work, options, option_count, maps, -1, 0};
  if (maps) return open_in_thread(&o);
  int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  int result = set_layers(context, &o), fd = -1;
  if (result == 0) {
    for (size_t i = 0; !result && i < option_count; i++) result = set_option(context, options[i]);
    if (!result) fd = make_mount(context);
  }
  close_keeping_errno(context);
  return result == 1 ? open_in_thread(&o) : fd;
}
