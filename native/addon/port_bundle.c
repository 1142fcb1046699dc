/* A new bundle of chosen sockets of others, which stay as they are: their sockets are looked at and copied, not taken out. */
#define _GNU_SOURCE
#include "port_bundle.h"
#include "addon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = PORT_BUNDLE_BATCH + 1 };

/* What a socket is bound to; no padding, so that two are the same when their bytes are. */
struct bound {
  uint8_t protocol, family;
  uint16_t port;
  uint8_t address[16];
};
_Static_assert(sizeof(struct bound) == 20, "as pickPorts has it");

/* An entry that is looked for, with its place in the request. */
struct wanted {
  struct bound bound;
  uint32_t index;
};

struct picking {
  struct wanted *wanted;
  uint32_t count;
  int32_t *found;
  int socket;
};

union control {
  char bytes[CMSG_SPACE(sizeof(int) * ROOM)];
  struct cmsghdr align;
};

int port_bundle_put(int socket, const int *fds, uint32_t count) {
  union control control = {0};
  char byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
  if (!count) return 0;
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  *rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * count)};
  memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

int port_bundle_send(int socket, const int *fds, uint32_t count) {
  int error = port_bundle_put(socket, fds, count);
  for (uint32_t i = 0; i < count; i++) close(fds[i]);
  return error;
}

/* Copies of the next message's sockets; returns their number, 0 behind the last message, or the negative errno. */
static int peek_batch(int bundle, int *fds) {
  union control control;
  char byte;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t length = recvmsg(bundle, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return -errno;
  struct cmsghdr *rights = length ? CMSG_FIRSTHDR(&message) : NULL;
  if (!rights || rights->cmsg_type != SCM_RIGHTS) return 0;
  size_t size = rights->cmsg_len - CMSG_LEN(0);
  memcpy(fds, CMSG_DATA(rights), size);
  return (int)(size / sizeof(int));
}

static int read_bound(int fd, struct bound *bound) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } name = {0};
  socklen_t length = sizeof name, size = sizeof(int);
  int protocol = 0;
  if (getsockname(fd, &name.any, &length) || getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size)) return -1;
  *bound = (struct bound){.protocol = (uint8_t)protocol, .family = name.any.sa_family == AF_INET6 ? 6 : 4};
  bound->port = ntohs(bound->family == 6 ? name.v6.sin6_port : name.v4.sin_port);
  if (bound->family == 6) memcpy(bound->address, &name.v6.sin6_addr, 16);
  else memcpy(bound->address, &name.v4.sin_addr, 4);
  return 0;
}

static int by_bound(const void *one, const void *other) { return memcmp(one, other, sizeof(struct bound)); }

/* Sends those of the sockets that are wanted and not found yet, and closes all. */
static int pick_batch(struct picking *picking, const int *fds, uint32_t count) {
  int chosen[ROOM];
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    struct bound bound;
    struct wanted *wanted = read_bound(fds[i], &bound) ? NULL : bsearch(&bound, picking->wanted, picking->count, sizeof *picking->wanted, by_bound);
    if (!wanted || picking->found[wanted->index]) {
      close(fds[i]);
      continue;
    }
    picking->found[wanted->index] = 1;
    chosen[kept++] = fds[i];
  }
  return port_bundle_send(picking->socket, chosen, kept);
}

static int pick_bundle(struct picking *picking, int bundle) {
  int fds[ROOM], count = 0, error = 0, from = 0, off = -1;
  if (setsockopt(bundle, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof from)) return errno;
  while (!error && (count = peek_batch(bundle, fds)) > 0) error = pick_batch(picking, fds, (uint32_t)count);
  setsockopt(bundle, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
  if (error) return error;
  return count < 0 && count != -EAGAIN ? -count : 0;
}

static int pick_all(struct picking *picking, const int32_t *bundles, size_t count, int *made) {
  int pair[2], error = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return errno;
  picking->socket = pair[0];
  for (size_t i = 0; i < count && !error; i++) error = pick_bundle(picking, bundles[i]);
  close(pair[0]);
  if (error) close(pair[1]);
  else *made = pair[1];
  return error;
}

static bool buffer_of(napi_env env, napi_value value, void **data, size_t *length) {
  bool is_buffer;
  return napi_is_buffer(env, value, &is_buffer) == napi_ok && is_buffer && napi_get_buffer_info(env, value, data, length) == napi_ok;
}

/*
 * pickPorts(bundles, entries): Buffer. Bundles are int32 descriptors, an entry is u8 protocol, u8 family, u16 port, u8 address[16].
 * The answer: int32 descriptor of the new bundle, then for each entry int32 1 where it was found.
 */
napi_value pick_ports(napi_env env, napi_callback_info info) {
  size_t count = 2, bundles_length, entries_length;
  napi_value args[2], value;
  void *bundles, *entries;
  char *answer;
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count < 2 || !buffer_of(env, args[0], &bundles, &bundles_length) ||
      !buffer_of(env, args[1], &entries, &entries_length) || bundles_length % sizeof(int32_t) || entries_length % sizeof(struct bound))
    return addon_throw_errno(env, EINVAL, "pickPorts");
  struct picking picking = {.count = (uint32_t)(entries_length / sizeof(struct bound))};
  picking.wanted = calloc(picking.count + 1, sizeof *picking.wanted);
  picking.found = calloc(picking.count + 1, sizeof *picking.found);
  int made = -1, error = picking.wanted && picking.found ? 0 : ENOMEM;
  for (uint32_t i = 0; i < picking.count && !error; i++) {
    memcpy(&picking.wanted[i].bound, (char *)entries + i * sizeof(struct bound), sizeof(struct bound));
    picking.wanted[i].index = i;
  }
  if (!error) qsort(picking.wanted, picking.count, sizeof *picking.wanted, by_bound);
  if (!error) error = pick_all(&picking, bundles, bundles_length / sizeof(int32_t), &made);
  if (!error && napi_create_buffer(env, sizeof(int32_t) * (1 + (size_t)picking.count), (void **)&answer, &value) != napi_ok) {
    close(made);
    error = ENOMEM;
  }
  if (!error) {
    memcpy(answer, &made, sizeof made);
    memcpy(answer + sizeof made, picking.found, sizeof(int32_t) * picking.count);
  }
  free(picking.wanted);
  free(picking.found);
  return error ? addon_throw_errno(env, error, "pickPorts") : value;
}
