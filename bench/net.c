/*
 * Traffic for the network rows, the same program at every end:
 *   net serve PORT                     answers each connection as its first byte asks: s swallows, e sends every byte back
 *   net stream HOST PORT SECONDS       prints megabytes a second
 *   net rr HOST PORT SECONDS           one byte there and back; prints exchanges a second
 *   net dns SERVER NAME RATE SECONDS   A questions at that rate; prints asked, answered, median, 99th percentile and highest in microseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 128 << 10, QUERIES = 65536, MAX_SAMPLES = 1 << 20 };
static char block[BLOCK];

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int die(const char *what) {
  perror(what);
  return 1;
}

static struct sockaddr_in address(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  return to;
}

static void answer(int fd) {
  int on = 1;
  char mode;
  if (read(fd, &mode, 1) != 1) _exit(1);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (ssize_t got; (got = read(fd, block, BLOCK)) > 0;)
    if (mode == 'e' && write(fd, block, (size_t)got) != got) _exit(1);
  _exit(0);
}

static int serve(int port) {
  struct sockaddr_in at = address("0.0.0.0", port);
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGCHLD, SIG_IGN);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 16)) return die("listen");
  for (;;) {
    int client = accept(fd, NULL, NULL);
    if (client < 0) continue;
    if (!fork()) answer(client);
    close(client);
  }
}

static int connected(const char *host, int port, char mode) {
  struct sockaddr_in to = address(host, port);
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return -1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return write(fd, &mode, 1) == 1 ? fd : -1;
}

static int stream(const char *host, int port, double seconds) {
  int fd = connected(host, port, 's');
  double began = now(), bytes = 0;
  if (fd < 0) return die("connect");
  while (now() - began < seconds) {
    ssize_t wrote = write(fd, block, BLOCK);
    if (wrote < 0) return die("write");
    bytes += (double)wrote;
  }
  printf("%.1f\n", bytes / 1e6 / (now() - began));
  return 0;
}

static int exchange(const char *host, int port, double seconds) {
  int fd = connected(host, port, 'e');
  double began = now(), count = 0;
  char byte = 0;
  if (fd < 0) return die("connect");
  while (now() - began < seconds) {
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) return die("exchange");
    count++;
  }
  printf("%.0f\n", count / (now() - began));
  return 0;
}

static size_t question(uint8_t *packet, const char *name) {
  static const uint8_t head[12] = {0, 0, 1, 0, 0, 1};
  size_t at = 12;
  memcpy(packet, head, sizeof head);
  while (*name) {
    size_t length = strcspn(name, ".");
    packet[at++] = (uint8_t)length;
    memcpy(packet + at, name, length);
    at += length;
    name += length + (name[length] == '.');
  }
  memcpy(packet + at, "\0\0\1\0\1", 5);
  return at + 5;
}

static double sent[QUERIES], samples[MAX_SAMPLES];

static int by_size(const void *one, const void *other) { return *(const double *)one < *(const double *)other ? -1 : 1; }

static void take_answers(int fd, size_t *count) {
  uint8_t packet[512];
  while (recv(fd, packet, sizeof packet, MSG_DONTWAIT) >= 12) {
    double *at = &sent[packet[0] << 8 | packet[1]];
    if (*at != 0 && packet[7] != 0 && *count < MAX_SAMPLES) samples[(*count)++] = now() - *at;
    *at = 0;
  }
}

static int dns(const char *server, const char *name, double rate, double seconds) {
  struct sockaddr_in to = address(server, 53);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  uint8_t packet[512];
  size_t length = question(packet, name), asked = 0, count = 0;
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return die("connect");
  for (double began = now(); asked < (size_t)(rate * seconds);) {
    double wait = began + (double)asked / rate - now();
    if (wait <= 0) {
      packet[0] = (uint8_t)(asked >> 8);
      packet[1] = (uint8_t)asked;
      sent[asked++ & (QUERIES - 1)] = now();
      if (send(fd, packet, length, 0) < 0 && errno != ECONNREFUSED) return die("send");
    } else {
      struct pollfd ready = {.fd = fd, .events = POLLIN};
      struct timespec pause = {.tv_nsec = (long)(wait * 1e9)};
      ppoll(&ready, 1, &pause, NULL);
    }
    take_answers(fd, &count);
  }
  for (double end = now() + 2; count < asked && now() < end;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    poll(&ready, 1, 10);
    take_answers(fd, &count);
  }
  if (!count) return die("no answers");
  qsort(samples, count, sizeof *samples, by_size);
  printf("%zu %zu %.0f %.0f %.0f\n", asked, count, samples[count / 2] * 1e6, samples[count * 99 / 100] * 1e6, samples[count - 1] * 1e6);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "serve") && argc == 3) return serve(atoi(argv[2]));
  if (!strcmp(what, "stream") && argc == 5) return stream(argv[2], atoi(argv[3]), atof(argv[4]));
  if (!strcmp(what, "rr") && argc == 5) return exchange(argv[2], atoi(argv[3]), atof(argv[4]));
  if (!strcmp(what, "dns") && argc == 6) return dns(argv[2], argv[3], atof(argv[4]), atof(argv[5]));
  return 2;
}
