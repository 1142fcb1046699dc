/*
 * What the daemon says, one message each, answered by an int32 errno. The first byte is
 *
 *   S  the endpoint (32 bytes) has these ports and no others: entries; the sockets come in flight in the one that is attached
 *   K  only these endpoints have ports: their ids
 *
 * An entry is `count` ports from host_port on, each to the target's port of the same distance. Numbers are in host order, addresses
 * as the network has them, IPv4 in the first four bytes.
 */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 253, BACKLOG = 1024 };

struct entry {
  uint8_t protocol, host_family, target_family, unused;
  uint16_t host_port, target_port, count, unused2;
  uint8_t host[16], target[16];
};
_Static_assert(sizeof(struct entry) == 44, "as relay.ts has it");

static struct port *ports;

static void set_address(union address *address, uint8_t family, const uint8_t *bytes, uint16_t port) {
  memset(address, 0, sizeof *address);
  if (family == 4) {
    address->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&address->v4.sin_addr, bytes, 4);
  } else {
    address->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&address->v6.sin6_addr, bytes, 16);
  }
}

/* Fills the target of a socket by the entry that it belongs to. */
static bool find_target(const struct entry *entries, size_t count, uint8_t protocol, const union address *host, union address *target) {
  uint16_t port = ntohs(host->any.sa_family == AF_INET ? host->v4.sin_port : host->v6.sin6_port);
  for (size_t i = 0; i < count; i++) {
    union address expected;
    unsigned distance = (unsigned)port - entries[i].host_port;
    if (entries[i].protocol != protocol || distance >= entries[i].count) continue;
    set_address(&expected, entries[i].host_family, entries[i].host, port);
    if (!address_equal(&expected, host)) continue;
    set_address(target, entries[i].target_family, entries[i].target, (uint16_t)(entries[i].target_port + distance));
    return true;
  }
  return false;
}

static void end_port(struct port *port) {
  if (port->protocol == IPPROTO_TCP) stream_end_all(port);
  else datagram_end_all(port);
  item_end(&port->item);
}

/* Those that are stale, or all of an endpoint's. */
static void end_stale(void) {
  for (struct port **at = &ports; *at;) {
    struct port *port = *at;
    if (!port->stale) {
      at = &port->next;
      continue;
    }
    *at = port->next;
    end_port(port);
  }
}

/* One that is served already goes on to be, and the new copy of its descriptor is closed. */
static bool keep_port(const uint8_t *id, uint8_t protocol, const union address *host, const union address *target) {
  for (struct port *port = ports; port; port = port->next) {
    if (memcmp(port->id, id, ID_SIZE) || port->protocol != protocol || !address_equal(&port->host, host) || !address_equal(&port->target, target)) continue;
    port->stale = false;
    return true;
  }
  return false;
}

static int serve(int fd, const uint8_t *id, const struct entry *entries, size_t count, bool again) {
  union address host, target;
  socklen_t length = sizeof host;
  int protocol, on = 1;
  socklen_t size = sizeof protocol;
  if (getsockname(fd, &host.any, &length) || getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size)) return errno;
  if (!find_target(entries, count, (uint8_t)protocol, &host, &target)) return 0;
  if (again && keep_port(id, (uint8_t)protocol, &host, &target)) return 0;
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)) return errno;
  if (protocol == IPPROTO_TCP && listen(fd, BACKLOG)) return errno;
  /* Answers come from the address that was asked. */
  if (protocol == IPPROTO_UDP) setsockopt(fd, host.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, host.any.sa_family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, &on, sizeof on);
  struct port *port = calloc(1, sizeof *port);
  if (!port) return ENOMEM;
  port->protocol = (uint8_t)protocol;
  port->host = host;
  port->target = target;
  memcpy(port->id, id, ID_SIZE);
  int error = item_watch(&port->item, fd, EPOLLIN, protocol == IPPROTO_TCP ? stream_accept : datagram_ready);
  if (error) {
    free(port);
    return -error;
  }
  port->next = ports;
  ports = port;
  return -1;
}

/* Takes the sockets out of the bundle. */
static int serve_all(int bundle, const uint8_t *id, const struct entry *entries, size_t count, bool again) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * BATCH)];
    struct cmsghdr align;
  } control;
  char byte;
  int failed = 0;
  for (;;) {
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(bundle, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got <= 0) return failed;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (!rights || rights->cmsg_type != SCM_RIGHTS) continue;
    size_t fds = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fds; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
      int error = serve(fd, id, entries, count, again);
      if (error < 0) continue;
      close(fd);
      if (error) failed = error;
    }
  }
}

int control_message(const uint8_t *bytes, size_t length, int bundle) {
  static struct entry entries[2048];
  if (bytes[0] == 'S') {
    if (length < 1 + ID_SIZE || (length - 1 - ID_SIZE) % sizeof *entries || length - 1 - ID_SIZE > sizeof entries) return EINVAL;
    size_t count = (length - 1 - ID_SIZE) / sizeof *entries;
    memcpy(entries, bytes + 1 + ID_SIZE, count * sizeof *entries);
    bool again = false;
    for (struct port *port = ports; port; port = port->next) again |= port->stale = !memcmp(port->id, bytes + 1, ID_SIZE);
    int error = bundle < 0 ? 0 : serve_all(bundle, bytes + 1, entries, count, again);
    end_stale();
    return error;
  }
  if (bytes[0] != 'K' || (length - 1) % ID_SIZE) return EINVAL;
  for (struct port *port = ports; port; port = port->next) {
    port->stale = true;
    for (size_t at = 1; at < length && port->stale; at += ID_SIZE) port->stale = memcmp(port->id, bytes + at, ID_SIZE) != 0;
  }
  end_stale();
  return 0;
}

bool control_busy(void) { return ports != NULL; }

void control_sweep(int64_t now) {
  for (struct port *port = ports; port; port = port->next) {
    if (port->protocol == IPPROTO_UDP) datagram_sweep(port, now);
  }
}
