#define _GNU_SOURCE
#include "addon.h"

#include <stdio.h>
#include <string.h>

int addon_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) != napi_ok) return -1;
  return napi_set_named_property(env, exports, name, function) == napi_ok ? 0 : -1;
}

napi_value addon_errno_error(napi_env env, int error, const char *what) {
  const char *name = strerrorname_np(error);
  char text[256];
  snprintf(text, sizeof text, "%s: %s: %s", what, name ? name : "EUNKNOWN", strerror(error));
  napi_value message, code, number, syscall, object;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_string_utf8(env, name ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
  napi_create_int32(env, error, &number);
  napi_create_string_utf8(env, what, NAPI_AUTO_LENGTH, &syscall);
  napi_create_error(env, code, message, &object);
  napi_set_named_property(env, object, "errno", number);
  napi_set_named_property(env, object, "syscall", syscall);
  return object;
}

napi_value addon_throw_errno(napi_env env, int error, const char *what) {
  napi_throw(env, addon_errno_error(env, error, what));
  return NULL;
}

static napi_value init(napi_env env, napi_value exports) {
  if (register_sys(env, exports) || register_netlink(env, exports) || register_archive(env, exports) || register_log(env, exports) ||
      register_inroot(env, exports) || register_mount(env, exports) || register_datagram(env, exports) || register_ports(env, exports) ||
      register_netsocket(env, exports) || register_memory(env, exports) || register_quota(env, exports) || register_btrfs(env, exports) || register_userns(env, exports) || register_live(env, exports) || register_body(env, exports) || register_arrival(env, exports) ||
      register_ioctl(env, exports) || register_texts(env, exports) || register_device_program(env, exports))
    return NULL;
  return exports;
}

NAPI_MODULE(gantry, init)
