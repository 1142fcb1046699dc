/* mount(source, target, type, flags, data) and unmount(target, flags): mount(2) and umount2(2); mountSlowly and unmountSlowly are the
 * same on a thread of their own, as promises, for file systems that may wait for a server. bindFd(fd, target): what is open appears at target, too;
 * attachFd(fd, target): a mount that is attached nowhere appears there. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEXT_MAX 4096

static bool get_text(napi_env env, napi_value value, char *into) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length >= TEXT_MAX) {
    napi_throw_type_error(env, NULL, "expected a string of less than 4096 bytes");
    return false;
  }
  return napi_get_value_string_utf8(env, value, into, TEXT_MAX, &length) == napi_ok;
}

static bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given >= count) return true;
  napi_throw_type_error(env, NULL, "too few arguments");
  return false;
}

static napi_value do_mount(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  char source[TEXT_MAX], target[TEXT_MAX], type[TEXT_MAX], data[TEXT_MAX];
  uint32_t flags = 0;
  if (!get_arguments(env, info, 5, arguments) || !get_text(env, arguments[0], source) || !get_text(env, arguments[1], target) ||
      !get_text(env, arguments[2], type) || !get_text(env, arguments[4], data))
    return NULL;
  if (napi_get_value_uint32(env, arguments[3], &flags) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a number");
    return NULL;
  }
  if (mount(source, target, type, flags, data)) return addon_throw_errno(env, errno, "mount");
  return NULL;
}

static napi_value do_unmount(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  char target[TEXT_MAX];
  int32_t flags = 0;
  if (!get_arguments(env, info, 2, arguments) || !get_text(env, arguments[0], target)) return NULL;
  if (napi_get_value_int32(env, arguments[1], &flags) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a number");
    return NULL;
  }
  if (umount2(target, flags)) return addon_throw_errno(env, errno, "umount2");
  return NULL;
}

struct mount_call {
  struct archive_job job;
  uint32_t flags;
  char source[TEXT_MAX], target[TEXT_MAX], type[TEXT_MAX], data[TEXT_MAX];
};

static int run_mount(struct archive_job *job) {
  struct mount_call *call = (struct mount_call *)job;
  return mount(call->source, call->target, call->type, call->flags, call->data) ? archive_fail(&job->error, errno, "", "mount") : 0;
}

static int run_unmount(struct archive_job *job) {
  struct mount_call *call = (struct mount_call *)job;
  return umount2(call->target, (int)call->flags) ? archive_fail(&job->error, errno, "", "umount2") : 0;
}

static napi_value start_call(napi_env env, struct mount_call *call, bool valid, int (*run)(struct archive_job *)) {
  if (valid) {
    call->job.run = run;
    return archive_job_start(env, &call->job);
  }
  free(call);
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) napi_throw_type_error(env, NULL, "expected texts and a number");
  return NULL;
}

static napi_value mount_slowly(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  struct mount_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "mount");
  bool valid = get_arguments(env, info, 5, arguments) && get_text(env, arguments[0], call->source) && get_text(env, arguments[1], call->target) &&
               get_text(env, arguments[2], call->type) && get_text(env, arguments[4], call->data) && napi_get_value_uint32(env, arguments[3], &call->flags) == napi_ok;
  return start_call(env, call, valid, run_mount);
}

static napi_value unmount_slowly(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct mount_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "umount2");
  bool valid = get_arguments(env, info, 2, arguments) && get_text(env, arguments[0], call->target) && napi_get_value_uint32(env, arguments[1], &call->flags) == napi_ok;
  return start_call(env, call, valid, run_unmount);
}

/* An open file and the path where it shall appear. */
static bool get_target(napi_env env, napi_callback_info info, int *fd, char *target) {
  napi_value arguments[2];
  int32_t number;
  if (!get_arguments(env, info, 2, arguments) || !get_text(env, arguments[1], target)) return false;
  if (napi_get_value_int32(env, arguments[0], &number) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a number");
    return false;
  }
  *fd = number;
  return true;
}

static int attach(int fd, const char *target) {
  return (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

static napi_value bind_fd(napi_env env, napi_callback_info info) {
  char target[TEXT_MAX];
  int fd;
  if (!get_target(env, info, &fd, target)) return NULL;
  int tree = (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return addon_throw_errno(env, errno, "open_tree");
  int result = attach(tree, target);
  int saved = errno;
  close(tree);
  return result ? addon_throw_errno(env, saved, "move_mount") : NULL;
}

static napi_value attach_fd(napi_env env, napi_callback_info info) {
  char target[TEXT_MAX];
  int fd;
  if (!get_target(env, info, &fd, target)) return NULL;
  return attach(fd, target) ? addon_throw_errno(env, errno, "move_mount") : NULL;
}

int register_mount(napi_env env, napi_value exports) {
  return addon_function(env, exports, "mount", do_mount) || addon_function(env, exports, "unmount", do_unmount) || addon_function(env, exports, "mountSlowly", mount_slowly) ||
                 addon_function(env, exports, "unmountSlowly", unmount_slowly) || addon_function(env, exports, "bindFd", bind_fd) ||
                 addon_function(env, exports, "attachFd", attach_fd)
             ? -1
             : 0;
}
