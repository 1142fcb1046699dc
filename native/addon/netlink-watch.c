/* Subscriptions to the kernel's multicast groups, on the event loop. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { RECEIVE_CHUNK = 64 << 10 };

/* A subscription: every datagram goes to the callback; a failed receive goes there as an Error (ENOBUFS: some were lost). */
struct watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  int fd;
};

static void deliver(struct watch *watch, const void *data, size_t length, int error) {
  napi_handle_scope scope;
  napi_value callback, global, argument;
  napi_open_handle_scope(watch->env, &scope);
  napi_get_reference_value(watch->env, watch->callback, &callback);
  napi_get_global(watch->env, &global);
  if (error) argument = addon_errno_error(watch->env, error, "recv");
  else napi_create_buffer_copy(watch->env, length, data, NULL, &argument);
  napi_make_callback(watch->env, watch->context, global, callback, 1, &argument, NULL);
  napi_close_handle_scope(watch->env, scope);
}

static void readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  struct watch *watch = poll->data;
  static uint8_t chunk[RECEIVE_CHUNK];
  for (int rounds = 0; rounds < 64 && !uv_is_closing((uv_handle_t *)poll); rounds++) {
    ssize_t got = recv(watch->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    deliver(watch, chunk, got < 0 ? 0 : (size_t)got, got < 0 ? errno : 0);
    if (got < 0) return;
  }
}

static void watch_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  close(watch->fd);
  free(watch);
}

/* netlinkWatch(fd, groups[], callback, filter): handle. Takes the fd over. filter: a packet filter, as struct sock_filter's; empty: all messages. */
static napi_value netlink_watch(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value args[4], external, name;
  int fd;
  void *filter;
  size_t filter_bytes;
  uint32_t groups;
  uv_loop_t *loop;
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
  if (count < 4 || napi_get_value_int32(env, args[0], &fd) != napi_ok || napi_get_array_length(env, args[1], &groups) != napi_ok || napi_get_buffer_info(env, args[3], &filter, &filter_bytes) != napi_ok)
    return addon_throw_errno(env, EINVAL, "netlinkWatch");
  struct sock_fprog program = {.len = (unsigned short)(filter_bytes / sizeof(struct sock_filter)), .filter = filter};
  if (program.len && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) return addon_throw_errno(env, errno, "SO_ATTACH_FILTER");
  for (uint32_t i = 0; i < groups; i++) {
    napi_value element;
    int group;
    napi_get_element(env, args[1], i, &element);
    if (napi_get_value_int32(env, element, &group) != napi_ok) return addon_throw_errno(env, EINVAL, "netlinkWatch");
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group)) return addon_throw_errno(env, errno, "NETLINK_ADD_MEMBERSHIP");
  }
  struct watch *watch = calloc(1, sizeof *watch);
  if (!watch) return addon_throw_errno(env, ENOMEM, "netlinkWatch");
  watch->env = env;
  watch->fd = fd;
  napi_get_uv_event_loop(env, &loop);
  int failed = uv_poll_init(loop, &watch->poll, fd);
  if (failed) {
    free(watch);
    return addon_throw_errno(env, -failed, "uv_poll_init");
  }
  watch->poll.data = watch;
  napi_create_reference(env, args[2], 1, &watch->callback);
  napi_create_string_utf8(env, "netlinkWatch", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &watch->context);
  uv_poll_start(&watch->poll, UV_READABLE, readable);
  uv_unref((uv_handle_t *)&watch->poll);
  napi_create_external(env, watch, NULL, NULL, &external);
  return external;
}

/* netlinkUnwatch(handle): ends the subscription and closes its socket. Once per handle. */
static napi_value netlink_unwatch(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  void *data;
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
  if (count < 1 || napi_get_value_external(env, args[0], &data) != napi_ok) return addon_throw_errno(env, EINVAL, "netlinkUnwatch");
  struct watch *watch = data;
  if (uv_is_closing((uv_handle_t *)&watch->poll)) return NULL;
  napi_delete_reference(env, watch->callback);
  napi_async_destroy(env, watch->context);
  uv_close((uv_handle_t *)&watch->poll, watch_closed);
  return NULL;
}

int register_netlink_watch(napi_env env, napi_value exports) {
  return addon_function(env, exports, "netlinkWatch", netlink_watch) || addon_function(env, exports, "netlinkUnwatch", netlink_unwatch);
}
