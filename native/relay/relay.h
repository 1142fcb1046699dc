#ifndef GANTRY_RELAY_H
#define GANTRY_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ID_SIZE = 32 };

/* What epoll knows; it is freed behind the round of events that it died in. */
struct item {
  void (*ready)(struct item *item, uint32_t events);
  struct item *next_dead;
  int fd;
  uint32_t events;
  bool dead;
};

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* One socket of the host, of one endpoint; what comes there goes to the target. */
struct port {
  struct item item;
  struct port *next;
  uint8_t id[ID_SIZE];
  uint8_t protocol;
  bool stale;
  union address host, target;
  struct connection *connections;
  struct flow *flows;
  unsigned flow_count;
};

int item_watch(struct item *item, int fd, uint32_t events, void (*ready)(struct item *, uint32_t));
void item_events(struct item *item, uint32_t events);
/* Closes its descriptor. The memory stays until the round is over. */
void item_end(struct item *item);

socklen_t address_length(const union address *address);
bool address_equal(const union address *one, const union address *other);
int64_t now_ms(void);

void stream_accept(struct item *item, uint32_t events);
void stream_end_all(struct port *port);

void datagram_ready(struct item *item, uint32_t events);
void datagram_end_all(struct port *port);
/* Ends those that are silent for long. */
void datagram_sweep(struct port *port, int64_t now);

/* Takes a message of the daemon's; the answer is an errno. */
int control_message(const uint8_t *bytes, size_t length, int bundle);
/* Something is served. */
bool control_busy(void);
void control_sweep(int64_t now);

#endif
