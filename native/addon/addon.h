/* The Node addon: system calls that Node does not offer. No policy here: arguments in, results or an errno out. */
#ifndef GANTRY_ADDON_H
#define GANTRY_ADDON_H

#include <node_api.h>

/* Each part adds its functions to the exports object. Returns 0, or -1 with a pending exception. */
int register_sys(napi_env env, napi_value exports);
int register_netlink(napi_env env, napi_value exports);
int register_netlink_watch(napi_env env, napi_value exports);
int register_archive(napi_env env, napi_value exports);
int register_log(napi_env env, napi_value exports);
int register_inroot(napi_env env, napi_value exports);
int register_mount(napi_env env, napi_value exports);
int register_datagram(napi_env env, napi_value exports);
int register_ports(napi_env env, napi_value exports);
int register_netsocket(napi_env env, napi_value exports);
int register_memory(napi_env env, napi_value exports);
int register_quota(napi_env env, napi_value exports);
int register_btrfs(napi_env env, napi_value exports);
int register_ioctl(napi_env env, napi_value exports);
int register_userns(napi_env env, napi_value exports);
int register_live(napi_env env, napi_value exports);
int register_body(napi_env env, napi_value exports);
int register_texts(napi_env env, napi_value exports);
int register_device_program(napi_env env, napi_value exports);
int register_arrival(napi_env env, napi_value exports);

/* Defines exports[name] = function. */
int addon_function(napi_env env, napi_value exports, const char *name, napi_callback callback);

/* Throws an Error with .code = "EPERM"-like name, .errno = number (positive) and .syscall = what. Returns NULL. */
napi_value addon_throw_errno(napi_env env, int error, const char *what);

/* The same Error object, not thrown: for rejecting a promise. */
napi_value addon_errno_error(napi_env env, int error, const char *what);

#endif
