/* ioctl(2) with a buffer as its argument. ioctl(fd, request, buffer): at once, changes the buffer, returns what the call does;
 * ioctlSlowly(fd, request, buffer): on a thread of its own, a promise of the buffer as the call left it. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct ioctl_call {
  struct archive_job job;
  int32_t fd;
  uint32_t request;
  size_t size;
  void *data;
};

static bool get_call(napi_env env, napi_callback_info info, struct ioctl_call *call) {
  size_t count = 3;
  napi_value arguments[3];
  bool is_buffer = false;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= 3 && napi_get_value_int32(env, arguments[0], &call->fd) == napi_ok &&
      napi_get_value_uint32(env, arguments[1], &call->request) == napi_ok && napi_is_buffer(env, arguments[2], &is_buffer) == napi_ok && is_buffer &&
      napi_get_buffer_info(env, arguments[2], &call->data, &call->size) == napi_ok)
    return true;
  napi_throw_type_error(env, NULL, "expected an fd, a request and a buffer");
  return false;
}

static napi_value at_once(napi_env env, napi_callback_info info) {
  struct ioctl_call call = {0};
  napi_value value;
  if (!get_call(env, info, &call)) return NULL;
  int result = ioctl(call.fd, call.request, call.data);
  if (result < 0) return addon_throw_errno(env, errno, "ioctl");
  return napi_create_int32(env, result, &value) == napi_ok ? value : NULL;
}

static int run(struct archive_job *job) {
  struct ioctl_call *call = (struct ioctl_call *)job;
  return ioctl(call->fd, call->request, call->data) < 0 ? archive_fail(&job->error, errno, "", "ioctl") : 0;
}

static napi_value value_of(napi_env env, struct archive_job *job) {
  struct ioctl_call *call = (struct ioctl_call *)job;
  napi_value buffer = NULL;
  napi_create_buffer_copy(env, call->size, call->data, NULL, &buffer);
  return buffer;
}

static void release(napi_env env, struct archive_job *job) {
  (void)env;
  free(((struct ioctl_call *)job)->data);
}

static napi_value slowly(napi_env env, napi_callback_info info) {
  struct ioctl_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "ioctl");
  void *copy = get_call(env, info, call) ? malloc(call->size + 1) : NULL;
  if (!copy) {
    free(call);
    bool pending = false;
    return napi_is_exception_pending(env, &pending) == napi_ok && !pending ? addon_throw_errno(env, ENOMEM, "ioctl") : NULL;
  }
  memcpy(copy, call->data, call->size);
  call->data = copy;
  call->job.run = run;
  call->job.value = value_of;
  call->job.release = release;
  return archive_job_start(env, &call->job);
}

int register_ioctl(napi_env env, napi_value exports) {
  return addon_function(env, exports, "ioctl", at_once) || addon_function(env, exports, "ioctlSlowly", slowly) ? -1 : 0;
}
