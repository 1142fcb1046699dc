/* Sockets of the runtime: SOCK_SEQPACKET with file descriptors on Node's own loop, socket pairs, sealed memory files.
 *
 * A connection's callbacks are onMessage(bytes, fds | undefined), onWritable() after a send that had to wait, and onEnd(errno)
 * once: 0 at the end of the stream. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define FDS_MAX 16
#define MESSAGE_MAX (256 << 10)
/* So that one busy shim does not keep the loop from the others. */
#define MESSAGES_PER_TURN 64

struct connection {
  uv_poll_t poll;
  napi_env env;
  napi_ref on_message, on_writable, on_end;
  int fd;
  bool waiting_to_write, closed;
};

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

static char message[MESSAGE_MAX];

/* ---- arguments ---- */

static bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given >= count) return true;
  napi_throw_type_error(env, NULL, "too few arguments");
  return false;
}

static bool get_int(napi_env env, napi_value value, int *into) {
  if (napi_get_value_int32(env, value, into) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "expected a number");
  return false;
}

static bool get_bytes(napi_env env, napi_value value, void **bytes, size_t *length) {
  if (napi_get_buffer_info(env, value, bytes, length) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "expected a Buffer");
  return false;
}

static bool get_text(napi_env env, napi_value value, char *into, size_t size) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) == napi_ok && length < size &&
      napi_get_value_string_utf8(env, value, into, size, &length) == napi_ok)
    return true;
  napi_throw_type_error(env, NULL, "expected a shorter string");
  return false;
}

static struct connection *get_connection(napi_env env, napi_value value) {
  void *connection = NULL;
  if (napi_get_value_external(env, value, &connection) != napi_ok) napi_throw_type_error(env, NULL, "expected a connection");
  return connection;
}

static napi_value make_int(napi_env env, int number) {
  napi_value value;
  napi_create_int32(env, number, &value);
  return value;
}

static napi_value make_bool(napi_env env, bool truth) {
  napi_value value;
  napi_get_boolean(env, truth, &value);
  return value;
}

/* ---- connections ---- */

static void call(struct connection *c, napi_ref function_ref, size_t count, napi_value *arguments) {
  napi_value function, receiver, result;
  napi_get_reference_value(c->env, function_ref, &function);
  napi_get_global(c->env, &receiver);
  if (napi_make_callback(c->env, NULL, receiver, function, count, arguments, &result) != napi_pending_exception) return;
  napi_value error;
  napi_get_and_clear_last_exception(c->env, &error);
  napi_fatal_exception(c->env, error);
}

static void closed(uv_handle_t *handle) {
  struct connection *c = handle->data;
  close(c->fd);
  napi_delete_reference(c->env, c->on_message);
  napi_delete_reference(c->env, c->on_writable);
  napi_delete_reference(c->env, c->on_end);
  c->fd = -1;
}

static void connection_close(struct connection *c) {
  if (c->closed) return;
  c->closed = true;
  uv_poll_stop(&c->poll);
  uv_close((uv_handle_t *)&c->poll, closed);
}

static void end(struct connection *c, int error) {
  napi_value argument = make_int(c->env, error);
  connection_close(c);
  call(c, c->on_end, 1, &argument);
}

static napi_value take_fds(napi_env env, struct msghdr *header) {
  napi_value list = NULL;
  uint32_t count = 0;
  for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
    if (!list) napi_create_array(env, &list);
    for (size_t i = 0; i < (at->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
      napi_set_element(env, list, count++, make_int(env, fd));
    }
  }
  if (!list) napi_get_undefined(env, &list);
  return list;
}

/* One message; false when there is none. */
static bool receive(struct connection *c) {
  union control control;
  struct iovec vector = {message, sizeof message};
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(c->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0 && errno == EINTR) return true;
  if (length < 0 && errno == EAGAIN) return false;
  if (length <= 0 || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    end(c, length < 0 ? errno : length ? EMSGSIZE : 0);
    return false;
  }
  napi_value arguments[2];
  napi_create_buffer_copy(c->env, (size_t)length, message, NULL, &arguments[0]);
  arguments[1] = take_fds(c->env, &header);
  call(c, c->on_message, 2, arguments);
  return true;
}

static void watch(struct connection *c);

static void ready(uv_poll_t *poll, int status, int events) {
  struct connection *c = poll->data;
  napi_handle_scope scope;
  napi_open_handle_scope(c->env, &scope);
  if (status < 0) end(c, -status);
  if (!c->closed && events & UV_WRITABLE && c->waiting_to_write) {
    c->waiting_to_write = false;
    watch(c);
    call(c, c->on_writable, 0, NULL);
  }
  for (int i = 0; i < MESSAGES_PER_TURN && !c->closed && receive(c); i++);
  napi_close_handle_scope(c->env, scope);
}

static void watch(struct connection *c) { uv_poll_start(&c->poll, UV_READABLE | (c->waiting_to_write ? UV_WRITABLE : 0), ready); }

static void finalize(napi_env env, void *data, void *hint) {
  struct connection *c = data;
  (void)env;
  (void)hint;
  /* Collected without close(): the poll handle still belongs to the loop, so its memory stays. */
  if (c->fd < 0) free(c);
}

/* seqpacketOpen(fd, onMessage, onWritable, onEnd): takes the fd over. */
static napi_value seqpacket_open(napi_env env, napi_callback_info info) {
  napi_value arguments[4], external;
  uv_loop_t *loop;
  int fd;
  if (!get_arguments(env, info, 4, arguments) || !get_int(env, arguments[0], &fd)) return NULL;
  struct connection *c = calloc(1, sizeof *c);
  if (!c || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    free(c);
    return addon_throw_errno(env, ENOMEM, "seqpacketOpen");
  }
  c->env = env;
  c->fd = fd;
  int error = uv_poll_init(loop, &c->poll, fd);
  if (error) {
    free(c);
    return addon_throw_errno(env, -error, "seqpacketOpen");
  }
  c->poll.data = c;
  napi_create_reference(env, arguments[1], 1, &c->on_message);
  napi_create_reference(env, arguments[2], 1, &c->on_writable);
  napi_create_reference(env, arguments[3], 1, &c->on_end);
  watch(c);
  napi_create_external(env, c, finalize, NULL, &external);
  return external;
}

static bool get_fds(napi_env env, napi_value list, int *fds, uint32_t *count) {
  if (napi_get_array_length(env, list, count) != napi_ok || *count > FDS_MAX) {
    napi_throw_type_error(env, NULL, "expected a short list of fds");
    return false;
  }
  for (uint32_t i = 0; i < *count; i++) {
    napi_value element;
    napi_get_element(env, list, i, &element);
    if (!get_int(env, element, &fds[i])) return false;
  }
  return true;
}

/* seqpacketSend(connection, bytes, fds): false when it must be tried again after onWritable. */
static napi_value seqpacket_send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  union control control;
  struct iovec vector;
  int fds[FDS_MAX];
  uint32_t count;
  if (!get_arguments(env, info, 3, arguments)) return NULL;
  struct connection *c = get_connection(env, arguments[0]);
  if (!c || !get_bytes(env, arguments[1], &vector.iov_base, &vector.iov_len) || !get_fds(env, arguments[2], fds, &count)) return NULL;
  if (c->closed) return addon_throw_errno(env, ENOTCONN, "sendmsg");
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
  if (count) {
    memset(&control, 0, sizeof control);
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
  }
  ssize_t sent;
  while ((sent = sendmsg(c->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR);
  if (sent >= 0) return make_bool(env, true);
  if (errno != EAGAIN) return addon_throw_errno(env, errno, "sendmsg");
  c->waiting_to_write = true;
  watch(c);
  return make_bool(env, false);
}

static napi_value seqpacket_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!get_arguments(env, info, 1, &argument)) return NULL;
  struct connection *c = get_connection(env, argument);
  if (c) connection_close(c);
  return NULL;
}

/* ---- sockets and memory files ---- */

/* seqpacketConnect(path, stream): an fd. A unix socket answers at once: its queue is full or not. */
static napi_value seqpacket_connect(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  bool stream = false;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!get_arguments(env, info, 2, arguments) || !get_text(env, arguments[0], address.sun_path, sizeof address.sun_path)) return NULL;
  napi_get_value_bool(env, arguments[1], &stream);
  int fd = socket(AF_UNIX, (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return addon_throw_errno(env, errno, "socket");
  if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return make_int(env, fd);
  int error = errno;
  close(fd);
  return addon_throw_errno(env, error, "connect");
}

/* peerCredentials(fd): [pid, uid] of whoever connected the unix socket. */
static napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value argument, pair;
  int32_t fd;
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (!get_arguments(env, info, 1, &argument) || napi_get_value_int32(env, argument, &fd) != napi_ok) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) return addon_throw_errno(env, errno, "getsockopt");
  napi_create_array_with_length(env, 2, &pair);
  napi_set_element(env, pair, 0, make_int(env, peer.pid));
  napi_set_element(env, pair, 1, make_int(env, (int)peer.uid));
  return pair;
}

/* unreadBytes(fd): what the other end of a unix socket has not received yet, as the kernel counts it; 0: it has all. */
static napi_value unread_bytes(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  int bytes;
  if (!get_arguments(env, info, 1, &argument) || napi_get_value_int32(env, argument, &fd) != napi_ok) return NULL;
  return ioctl(fd, SIOCOUTQ, &bytes) ? addon_throw_errno(env, errno, "SIOCOUTQ") : make_int(env, bytes);
}

/* socketPair(seqpacket): two fds. */
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  napi_value argument, pair;
  bool seqpacket;
  int fds[2];
  if (!get_arguments(env, info, 1, &argument)) return NULL;
  if (napi_get_value_bool(env, argument, &seqpacket) != napi_ok) seqpacket = false;
  if (socketpair(AF_UNIX, (seqpacket ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, fds)) return addon_throw_errno(env, errno, "socketpair");
  napi_create_array_with_length(env, 2, &pair);
  for (uint32_t i = 0; i < 2; i++) napi_set_element(env, pair, i, make_int(env, fds[i]));
  return pair;
}

static int fill_memory_file(int fd, const char *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t written = write(fd, bytes + done, length - done);
    if (written < 0) return -errno;
    done += (size_t)written;
  }
  return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ? -errno : 0;
}

/* sealedMemory(name, bytes): an fd of a memory file that nobody can change. */
static napi_value sealed_memory(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  char name[64];
  void *bytes;
  size_t length;
  if (!get_arguments(env, info, 2, arguments) || !get_text(env, arguments[0], name, sizeof name) || !get_bytes(env, arguments[1], &bytes, &length)) return NULL;
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return addon_throw_errno(env, errno, "memfd_create");
  int error = fill_memory_file(fd, bytes, length);
  if (!error) return make_int(env, fd);
  close(fd);
  return addon_throw_errno(env, -error, "memfd_create");
}

/* lockNow(fd): whether the file is this description's alone now, until it is closed. */
static napi_value lock_now(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arg, value;
  int32_t fd;
  if (napi_get_cb_info(env, info, &count, &arg, NULL, NULL) != napi_ok || count < 1 || napi_get_value_int32(env, arg, &fd) != napi_ok) return addon_throw_errno(env, EINVAL, "lockNow");
  int failed = flock(fd, LOCK_EX | LOCK_NB);
  if (failed && errno != EWOULDBLOCK) return addon_throw_errno(env, errno, "flock");
  return napi_get_boolean(env, !failed, &value) == napi_ok ? value : NULL;
}

int register_sys(napi_env env, napi_value exports) {
  return addon_function(env, exports, "seqpacketOpen", seqpacket_open) || addon_function(env, exports, "seqpacketSend", seqpacket_send) ||
                 addon_function(env, exports, "seqpacketClose", seqpacket_close) || addon_function(env, exports, "seqpacketConnect", seqpacket_connect) ||
                 addon_function(env, exports, "socketPair", socket_pair) || addon_function(env, exports, "sealedMemory", sealed_memory) ||
                 addon_function(env, exports, "lockNow", lock_now) || addon_function(env, exports, "peerCredentials", peer_credentials) ||
                 addon_function(env, exports, "unreadBytes", unread_bytes)
             ? -1
             : 0;
}
