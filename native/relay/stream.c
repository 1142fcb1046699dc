/* TCP: each connection is one of the client's and one to the target, with a buffer for each direction. */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, ACCEPTS = 64 };

struct side {
  struct item item;
  struct connection *connection;
};

/* `from[i]` is what was read from side i and not yet written to the other. */
struct connection {
  struct side *sides[2];
  struct connection *next, **at;
  bool connecting, ended[2], told[2];
  size_t begin[2], end[2];
  char *from[2];
};

static void end_connection(struct connection *connection) {
  *connection->at = connection->next;
  if (connection->next) connection->next->at = connection->at;
  for (int i = 0; i < 2; i++) {
    if (connection->sides[i]) item_end(&connection->sides[i]->item);
    free(connection->from[i]);
  }
  free(connection);
}

/* Moves what there is in one direction; false: the connection is broken. */
static bool move(struct connection *connection, int from) {
  int in = connection->sides[from]->item.fd, out = connection->sides[!from]->item.fd;
  if (connection->connecting) return true;
  for (;;) {
    if (connection->begin[from] == connection->end[from]) {
      if (connection->ended[from]) break;
      ssize_t got = recv(in, connection->from[from], BUFFER, 0);
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      connection->begin[from] = 0;
      connection->end[from] = (size_t)got;
      if (got == 0) connection->ended[from] = true;
      continue;
    }
    ssize_t sent = send(out, connection->from[from] + connection->begin[from], connection->end[from] - connection->begin[from], MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    connection->begin[from] += (size_t)sent;
  }
  if (!connection->told[from]) shutdown(out, SHUT_WR);
  connection->told[from] = true;
  return true;
}

static void side_ready(struct item *item, uint32_t events) {
  struct connection *connection = ((struct side *)item)->connection;
  if (connection->connecting && item == &connection->sides[1]->item && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(item->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) return end_connection(connection);
    connection->connecting = false;
  }
  if (events & EPOLLERR || !move(connection, 0) || !move(connection, 1) || (connection->told[0] && connection->told[1])) return end_connection(connection);
  for (int i = 0; i < 2; i++) {
    bool reads = !connection->ended[i] && connection->begin[i] == connection->end[i] && !connection->connecting;
    bool writes = connection->begin[!i] != connection->end[!i] || (i == 1 && connection->connecting);
    item_events(&connection->sides[i]->item, (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0));
  }
}

static struct side *new_side(struct connection *connection, int fd, uint32_t events) {
  int on = 1;
  struct side *side = calloc(1, sizeof *side);
  if (!side) return NULL;
  side->connection = connection;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!item_watch(&side->item, fd, events, side_ready)) return side;
  free(side);
  return NULL;
}

/* Takes the client's descriptor over. */
static void begin(struct port *port, int client) {
  struct connection *connection = calloc(1, sizeof *connection);
  int target = socket(port->target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (!connection || target < 0) goto failed;
  connection->from[0] = malloc(BUFFER);
  connection->from[1] = malloc(BUFFER);
  if (!connection->from[0] || !connection->from[1]) goto failed;
  connection->connecting = true;
  if (connect(target, &port->target.any, address_length(&port->target)) && errno != EINPROGRESS) goto failed;
  connection->next = port->connections;
  connection->at = &port->connections;
  if (connection->next) connection->next->at = &connection->next;
  port->connections = connection;
  if ((connection->sides[0] = new_side(connection, client, 0)) && (connection->sides[1] = new_side(connection, target, EPOLLOUT))) return;
  if (!connection->sides[0]) close(client);
  if (!connection->sides[1]) close(target);
  end_connection(connection);
  return;
failed:
  if (connection) free(connection->from[0]), free(connection->from[1]);
  free(connection);
  if (target >= 0) close(target);
  close(client);
}

void stream_accept(struct item *item, uint32_t events) {
  (void)events;
  for (int i = 0; i < ACCEPTS; i++) {
    int client = accept4(item->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    begin((struct port *)item, client);
  }
}

void stream_end_all(struct port *port) {
  while (port->connections) end_connection(port->connections);
}
