/* Datagrams of unix sockets: what sd_notify(3) speaks, and Node does not. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static napi_value new_fd(napi_env env, int fd) {
  napi_value value;
  return napi_create_int32(env, fd, &value) == napi_ok ? value : NULL;
}

/* datagramBind(path): a socket there that anybody may write to; reading it never waits. */
static napi_value datagram_bind(napi_env env, napi_callback_info info) {
  napi_value args[1];
  size_t count = 1, length;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count != 1) return addon_throw_errno(env, EINVAL, "datagramBind");
  if (napi_get_value_string_utf8(env, args[0], address.sun_path, sizeof address.sun_path, &length) != napi_ok || length == 0 || length >= sizeof address.sun_path - 1)
    return addon_throw_errno(env, ENAMETOOLONG, "datagramBind");
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return addon_throw_errno(env, errno, "socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || chmod(address.sun_path, 0777)) {
    int error = errno;
    close(fd);
    return addon_throw_errno(env, error, "bind");
  }
  return new_fd(env, fd);
}

/* datagramSend(path, text): a path that begins with "@" is abstract. */
static napi_value datagram_send(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2, path_length, text_length;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[sizeof address.sun_path], text[4096];
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count != 2 ||
      napi_get_value_string_utf8(env, args[0], path, sizeof path, &path_length) != napi_ok ||
      napi_get_value_string_utf8(env, args[1], text, sizeof text, &text_length) != napi_ok)
    return addon_throw_errno(env, EINVAL, "datagramSend");
  if (path_length == 0 || path_length >= sizeof address.sun_path - 1) return addon_throw_errno(env, ENAMETOOLONG, "datagramSend");
  memcpy(address.sun_path, path, path_length);
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + path_length;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return addon_throw_errno(env, errno, "socket");
  ssize_t sent = sendto(fd, text, text_length, MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  int error = errno;
  close(fd);
  return sent < 0 ? addon_throw_errno(env, error, "sendto") : NULL;
}

int register_datagram(napi_env env, napi_value exports) { return addon_function(env, exports, "datagramSend", datagram_send) || addon_function(env, exports, "datagramBind", datagram_bind); }
