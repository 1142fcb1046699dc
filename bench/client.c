/*
 * A client that costs next to nothing, so that what it measures is the engine. Prints milliseconds, one a line.
 *
 *   client requests SOCKET PATH CLIENTS COUNT   each GET on a connection of its own, so many at once, read to its end
 *   client events SOCKET LISTENERS ID COUNT     from the request that renames container ID to the last listener's event
 *   client pings SOCKET PAUSE                   GET /_ping on one connection with pauses of so many ms, until its stdin ends
 */
#define _GNU_SOURCE
#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { most = 64 };
static char buffer[1 << 20];
static const char *path;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int number(const char *text, int largest) {
  int value = atoi(text);
  if (value < 1 || value > largest) errx(2, "%s is not from 1 to %d", text, largest);
  return value;
}

static int dial(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) err(1, "%s", path);
  return fd;
}

static void ask(int fd, const char *method, const char *target, const char *headers) {
  char request[1024];
  int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: docker\r\n%s\r\n", method, target, headers);
  if (length >= (int)sizeof request || write(fd, request, (size_t)length) != length) err(1, "%s", target);
}

static ssize_t take(int fd) {
  ssize_t got = read(fd, buffer, sizeof buffer - 1);
  if (got < 0) err(1, "read");
  buffer[got] = 0;
  return got;
}

static void expect_ok(const char *target) {
  if (strncmp(buffer, "HTTP/1.1 20", 11)) errx(1, "%s: %.200s", target, buffer);
}

static void requests(const char *target, int clients, int count) {
  struct pollfd fds[most];
  double began[most];
  int started = 0, ended = 0;
  for (; started < clients && started < count; started++) {
    began[started] = now();
    fds[started] = (struct pollfd){.fd = dial(), .events = POLLIN};
    ask(fds[started].fd, "GET", target, "Connection: close\r\n");
  }
  clients = started;
  while (ended < count) {
    if (poll(fds, (nfds_t)clients, -1) < 0) err(1, "poll");
    for (int i = 0; i < clients; i++) {
      if (!fds[i].revents) continue;
      if (take(fds[i].fd) > 0) {
        if (fds[i].events & POLLPRI) continue;
        fds[i].events |= POLLPRI; /* its head was looked at */
        expect_ok(target);
        continue;
      }
      close(fds[i].fd);
      printf("%.3f\n", now() - began[i]);
      ended++;
      fds[i].fd = -1;
      if (started == count) continue;
      started++;
      began[i] = now();
      fds[i] = (struct pollfd){.fd = dial(), .events = POLLIN};
      ask(fds[i].fd, "GET", target, "Connection: close\r\n");
    }
  }
}

/* Events are lines of JSON, each the whole of a chunk's data. */
static int events_in(const char *text) {
  int found = 0;
  for (const char *at = text; (at = strstr(at, "}\n")); at += 2) found++;
  return found;
}

static void events(int listeners, const char *id, int count) {
  struct pollfd fds[most];
  char target[256];
  for (int i = 0; i < listeners; i++) {
    fds[i] = (struct pollfd){.fd = dial(), .events = POLLIN};
    ask(fds[i].fd, "GET", "/events", "");
    take(fds[i].fd);
    expect_ok("/events");
  }
  int control = dial();
  for (int round = 0; round < count; round++) {
    int seen = 0;
    double began = now();
    snprintf(target, sizeof target, "/containers/%s/rename?name=renamed-%d", id, round);
    ask(control, "POST", target, "Content-Length: 0\r\n");
    while (seen < listeners) {
      if (poll(fds, (nfds_t)listeners, 10000) < 1) errx(1, "%d of %d events", seen, listeners);
      for (int i = 0; i < listeners; i++) {
        if (!fds[i].revents) continue;
        if (take(fds[i].fd) == 0) errx(1, "a listener was cut off");
        seen += events_in(buffer);
      }
    }
    printf("%.3f\n", now() - began);
    take(control);
    expect_ok(target);
  }
}

static void pings(int pause) {
  struct pollfd end = {.fd = 0, .events = POLLIN};
  int fd = dial();
  do {
    double began = now();
    ask(fd, "GET", "/_ping", "");
    take(fd);
    expect_ok("/_ping");
    printf("%.3f\n", now() - began);
  } while (poll(&end, 1, pause) == 0);
}

int main(int argc, char **argv) {
  path = argc > 2 ? argv[2] : "";
  if (argc == 6 && !strcmp(argv[1], "requests")) requests(argv[3], number(argv[4], most), number(argv[5], 1000000));
  else if (argc == 6 && !strcmp(argv[1], "events")) events(number(argv[3], most), argv[4], number(argv[5], 1000000));
  else if (argc == 4 && !strcmp(argv[1], "pings")) pings(number(argv[3], 1000));
  else errx(2, "usage: see the head of client.c");
  return 0;
}
