/* UDP: each client has a socket of its own to the target, until both are silent for a while. */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { DATAGRAM = 65536, ROUND = 64, MOST_FLOWS = 1024, SILENCE_MS = 90000 };

struct flow {
  struct item item;
  struct port *port;
  struct flow *next;
  union address client;
  /* Where the client sent to. */
  union {
    struct in_pktinfo v4;
    struct in6_pktinfo v6;
  } asked;
  int64_t used;
};

static char buffer[DATAGRAM];

union control {
  char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  struct cmsghdr align;
};

static void end_flow(struct flow **at) {
  struct flow *flow = *at;
  *at = flow->next;
  flow->port->flow_count--;
  item_end(&flow->item);
}

static void answer(struct flow *flow, size_t length) {
  union control control = {0};
  bool v4 = flow->client.any.sa_family == AF_INET;
  size_t size = v4 ? sizeof flow->asked.v4 : sizeof flow->asked.v6;
  struct iovec data = {.iov_base = buffer, .iov_len = length};
  struct msghdr message = {.msg_name = &flow->client, .msg_namelen = address_length(&flow->client), .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6, .cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO, .cmsg_len = CMSG_LEN(size)};
  memcpy(CMSG_DATA(header), &flow->asked, size);
  if (sendmsg(flow->port->item.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
}

static void flow_ready(struct item *item, uint32_t events) {
  struct flow *flow = (struct flow *)item;
  (void)events;
  for (int i = 0; i < ROUND; i++) {
    ssize_t length = recv(item->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (length < 0) return;
    flow->used = now_ms();
    answer(flow, (size_t)length);
  }
}

static void read_asked(struct flow *flow, struct msghdr *message) {
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) memcpy(&flow->asked.v4, CMSG_DATA(header), sizeof flow->asked.v4);
    if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) memcpy(&flow->asked.v6, CMSG_DATA(header), sizeof flow->asked.v6);
  }
  if (flow->client.any.sa_family != AF_INET) return;
  flow->asked.v4.ipi_spec_dst = flow->asked.v4.ipi_addr;
  flow->asked.v4.ipi_ifindex = 0;
}

static struct flow *new_flow(struct port *port, const union address *client) {
  struct flow *flow = calloc(1, sizeof *flow);
  int fd = socket(port->target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (flow && fd >= 0 && !connect(fd, &port->target.any, address_length(&port->target)) && !item_watch(&flow->item, fd, EPOLLIN, flow_ready)) {
    flow->port = port;
    flow->client = *client;
    flow->next = port->flows;
    port->flows = flow;
    port->flow_count++;
    return flow;
  }
  if (fd >= 0) close(fd);
  free(flow);
  return NULL;
}

/* The most recent ones are in front, so that the oldest is the last. */
static struct flow *find_flow(struct port *port, const union address *client) {
  for (struct flow **at = &port->flows; *at; at = &(*at)->next) {
    struct flow *flow = *at;
    if (!address_equal(&flow->client, client)) {
      if (!flow->next && port->flow_count >= MOST_FLOWS) {
        end_flow(at);
        break;
      }
      continue;
    }
    *at = flow->next;
    flow->next = port->flows;
    port->flows = flow;
    return flow;
  }
  return new_flow(port, client);
}

void datagram_ready(struct item *item, uint32_t events) {
  struct port *port = (struct port *)item;
  (void)events;
  for (int i = 0; i < ROUND; i++) {
    union control control;
    union address client = {0};
    struct iovec data = {.iov_base = buffer, .iov_len = sizeof buffer};
    struct msghdr message = {.msg_name = &client, .msg_namelen = sizeof client, .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t length = recvmsg(item->fd, &message, MSG_DONTWAIT);
    if (length < 0) return;
    struct flow *flow = find_flow(port, &client);
    if (!flow) continue;
    read_asked(flow, &message);
    flow->used = now_ms();
    /* A refusal of the datagram before is told once, and this one is not sent then. */
    if (send(flow->item.fd, buffer, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED) (void)!send(flow->item.fd, buffer, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void datagram_end_all(struct port *port) {
  while (port->flows) end_flow(&port->flows);
}

void datagram_sweep(struct port *port, int64_t now) {
  for (struct flow **at = &port->flows; *at;) {
    if (now - (*at)->used > SILENCE_MS) end_flow(at);
    else at = &(*at)->next;
  }
}
