/*
 * gantry-relay SOCKET: serves published ports of the host at addresses of a family that the container has not, TCP and UDP.
 * It is told by the daemon over SOCKET (see control.c) and outlives it; it ends a while after the last port is given back.
 */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, MESSAGE_SIZE = 128 << 10, SWEEP_MS = 5000, IDLE_MS = 10000 };

static int epoll;
static struct item *dead;
static unsigned daemons;

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int item_watch(struct item *item, int fd, uint32_t events, void (*ready)(struct item *, uint32_t)) {
  struct epoll_event event = {.events = events, .data.ptr = item};
  item->fd = fd;
  item->events = events;
  item->ready = ready;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void item_events(struct item *item, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = item};
  if (item->events == events) return;
  item->events = events;
  epoll_ctl(epoll, EPOLL_CTL_MOD, item->fd, &event);
}

void item_end(struct item *item) {
  if (item->dead) return;
  item->dead = true;
  /* Another copy of the descriptor may live on: closing this one would not take it out. */
  epoll_ctl(epoll, EPOLL_CTL_DEL, item->fd, NULL);
  close(item->fd);
  item->next_dead = dead;
  dead = item;
}

socklen_t address_length(const union address *address) { return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6; }

bool address_equal(const union address *one, const union address *other) {
  if (one->any.sa_family != other->any.sa_family) return false;
  if (one->any.sa_family == AF_INET) return one->v4.sin_port == other->v4.sin_port && one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
  return one->v6.sin6_port == other->v6.sin6_port && !memcmp(&one->v6.sin6_addr, &other->v6.sin6_addr, 16);
}

static void answer(int fd, int error) {
  int32_t value = error;
  if (send(fd, &value, sizeof value, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) fprintf(stderr, "gantry-relay: answering: %s\n", strerror(errno));
}

static void daemon_ready(struct item *item, uint32_t events) {
  static uint8_t bytes[MESSAGE_SIZE];
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec data = {.iov_base = bytes, .iov_len = sizeof bytes};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  (void)events;
  ssize_t length = recvmsg(item->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    item_end(item);
    daemons--;
    return;
  }
  int bundle = -1;
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) memcpy(&bundle, CMSG_DATA(rights), sizeof bundle);
  answer(item->fd, message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? EMSGSIZE : control_message(bytes, (size_t)length, bundle));
  if (bundle >= 0) close(bundle);
}

static void listener_ready(struct item *item, uint32_t events) {
  (void)events;
  int fd = accept4(item->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  struct item *connected = fd < 0 ? NULL : calloc(1, sizeof *connected);
  if (!connected || item_watch(connected, fd, EPOLLIN, daemon_ready)) {
    if (fd >= 0) close(fd);
    free(connected);
    return;
  }
  daemons++;
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  umask(0177);
  if ((unlink(path) && errno != ENOENT) || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8)) return -errno;
  return fd;
}

static void bury(void) {
  while (dead) {
    struct item *next = dead->next_dead;
    free(dead);
    dead = next;
  }
}

static void run(const char *path) {
  struct epoll_event events[EVENTS];
  int64_t busy = now_ms(), swept = busy;
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, SWEEP_MS);
    for (int i = 0; i < count; i++) {
      struct item *item = events[i].data.ptr;
      if (!item->dead) item->ready(item, events[i].events);
    }
    bury();
    int64_t now = now_ms();
    if (now - swept >= SWEEP_MS) control_sweep(now), swept = now;
    if (daemons || control_busy()) busy = now;
    if (now - busy < IDLE_MS) continue;
    unlink(path);
    return;
  }
}

int main(int count, char **arguments) {
  static struct item listener;
  struct rlimit files;
  if (count != 2) return fprintf(stderr, "usage: gantry-relay SOCKET\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  if (!getrlimit(RLIMIT_NOFILE, &files)) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
  if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) return perror("gantry-relay: epoll_create1"), 1;
  int fd = listen_at(arguments[1]);
  if (fd < 0 || (fd = item_watch(&listener, fd, EPOLLIN, listener_ready)) < 0) return fprintf(stderr, "gantry-relay: %s: %s\n", arguments[1], strerror(-fd)), 1;
  /* Who started it waits for this. */
  if (write(STDOUT_FILENO, "\n", 1) != 1) return 1;
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; nothing >= 0 && standard <= 2; standard++) dup2(nothing, standard);
  run(arguments[1]);
  return 0;
}
