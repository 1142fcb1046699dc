/* Internet sockets of another network namespace: a socket belongs to the namespace that its thread is in when it is made. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum action { PLAIN, BIND, LISTEN, CONNECT };
enum { BACKLOG = 128 };

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* The thread that enters a namespace is the main one, so that nothing else runs on it meanwhile; it costs a few microseconds. */
static int socket_in(int netns, int family, int type) {
  int own = -1, fd, error;
  if (netns >= 0) {
    if ((own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) < 0) return -errno;
    if (setns(netns, CLONE_NEWNET)) {
      error = errno;
      close(own);
      return -error;
    }
  }
  fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  error = errno;
  if (own < 0) return fd < 0 ? -error : fd;
  if (setns(own, CLONE_NEWNET)) {
    fprintf(stderr, "gantry: cannot return to the network namespace: %s\n", strerror(errno));
    abort();
  }
  close(own);
  return fd < 0 ? -error : fd;
}

static int act(int fd, enum action action, const union address *address, socklen_t length) {
  switch (action) {
  case PLAIN:
    return 0;
  case CONNECT:
    return connect(fd, &address->any, length) && errno != EINPROGRESS ? errno : 0;
  case LISTEN:
    return bind(fd, &address->any, length) || listen(fd, BACKLOG) ? errno : 0;
  case BIND:
    return bind(fd, &address->any, length) ? errno : 0;
  }
  return EINVAL;
}

/* netSocket(netnsFd | -1, stream, action, address, port): fd, non-blocking. action: 0 none, 1 bind, 2 bind and listen, 3 begin to
   connect. address: 4 or 16 bytes, which say the family. */
static napi_value net_socket(napi_env env, napi_callback_info info) {
  size_t count = 5, length;
  napi_value args[5], value;
  int32_t netns, action, port;
  bool stream, is_buffer;
  void *bytes;
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count < 5 || napi_get_value_int32(env, args[0], &netns) != napi_ok ||
      napi_get_value_bool(env, args[1], &stream) != napi_ok || napi_get_value_int32(env, args[2], &action) != napi_ok ||
      napi_is_buffer(env, args[3], &is_buffer) != napi_ok || !is_buffer || napi_get_buffer_info(env, args[3], &bytes, &length) != napi_ok ||
      (length != 4 && length != 16) || napi_get_value_int32(env, args[4], &port) != napi_ok || port < 0 || port > 65535)
    return addon_throw_errno(env, EINVAL, "netSocket");
  union address address = {0};
  if (length == 4) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons((uint16_t)port);
    memcpy(&address.v4.sin_addr, bytes, 4);
  } else {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons((uint16_t)port);
    memcpy(&address.v6.sin6_addr, bytes, 16);
  }
  int fd = socket_in(netns, address.any.sa_family, stream ? SOCK_STREAM : SOCK_DGRAM);
  if (fd < 0) return addon_throw_errno(env, -fd, "socket");
  int error = act(fd, (enum action)action, &address, length == 4 ? sizeof address.v4 : sizeof address.v6);
  if (error) {
    close(fd);
    return addon_throw_errno(env, error, "netSocket");
  }
  if (napi_create_int32(env, fd, &value) == napi_ok) return value;
  close(fd);
  return NULL;
}

int register_netsocket(napi_env env, napi_value exports) { return addon_function(env, exports, "netSocket", net_socket); }
