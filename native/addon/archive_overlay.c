/* An overlay mounted nowhere: a file descriptor of its root, gone when that is closed. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set(int context, const char *key, const char *value) { return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0); }

int overlay_open(const char *const *lowers, size_t count, const char *upper, const char *work, const char *const *options, size_t option_count) {
  int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  int result = 0;
  for (size_t i = 0; !result && i < option_count; i++) {
    char pair[256], *equals;
    snprintf(pair, sizeof pair, "%s", options[i]);
    equals = strchr(pair, '=');
    if (equals) *equals++ = 0;
    result = equals ? set(context, pair, equals) : (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, pair, NULL, 0);
  }
  for (size_t i = 0; !result && i < count; i++) result = set(context, "lowerdir+", lowers[i]);
  if (!result && *upper) result = set(context, "upperdir", upper) || set(context, "workdir", work) ? -1 : 0;
  if (!result) result = (int)syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  int fd = result ? -1 : (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
  int saved = errno;
  close(context);
  errno = saved;
  return fd;
}
