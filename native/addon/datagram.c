/* Datagrams of unix sockets: what sd_notify(3), syslog(3) and the journal speak, and Node does not. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static napi_value new_number(napi_env env, int number) {
  napi_value value;
  return napi_create_int32(env, number, &value) == napi_ok ? value : NULL;
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
  return new_number(env, fd);
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

/* datagramOpen(path): a socket that sends there. */
static napi_value datagram_open(napi_env env, napi_callback_info info) {
  napi_value args[1];
  size_t count = 1, length;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_value_string_utf8(env, args[0], address.sun_path, sizeof address.sun_path, &length) != napi_ok || length == 0 || length >= sizeof address.sun_path - 1)
    return addon_throw_errno(env, ENAMETOOLONG, "datagramOpen");
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return addon_throw_errno(env, errno, "socket");
  int room = 8 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room)) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
    int error = errno;
    close(fd);
    return addon_throw_errno(env, error, "connect");
  }
  return new_number(env, fd);
}

/* datagramWrite(fd, bytes, file): 0, or the errno; file: an fd that goes with it, or -1. */
static napi_value datagram_write(napi_env env, napi_callback_info info) {
  napi_value args[3];
  size_t count = 3, length;
  uint8_t *bytes;
  napi_typedarray_type type;
  int32_t fd, file;
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count != 3 || napi_get_value_int32(env, args[0], &fd) != napi_ok ||
      napi_get_typedarray_info(env, args[1], &type, &length, (void **)&bytes, NULL, NULL) != napi_ok || type != napi_uint8_array ||
      napi_get_value_int32(env, args[2], &file) != napi_ok)
    return addon_throw_errno(env, EINVAL, "datagramWrite");
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (file >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  return new_number(env, sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0);
}

int register_datagram(napi_env env, napi_value exports) {
  return addon_function(env, exports, "datagramSend", datagram_send) || addon_function(env, exports, "datagramBind", datagram_bind) ||
         addon_function(env, exports, "datagramOpen", datagram_open) || addon_function(env, exports, "datagramWrite", datagram_write);
}
