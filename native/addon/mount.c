/* mount(source, target, type, flags, data) and unmount(target, flags): mount(2) and umount2(2). */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mount.h>

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

int register_mount(napi_env env, napi_value exports) {
  return addon_function(env, exports, "mount", do_mount) || addon_function(env, exports, "unmount", do_unmount) ? -1 : 0;
}
