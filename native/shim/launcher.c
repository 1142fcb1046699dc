#define _GNU_SOURCE
#include "launcher.h"
#include "files.h"
#include "message.h"
#include "loop.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS_MAX 16
#define KEPT_MAX 4096
#define NAME_MAX_BYTES 128
#define MESSAGE_SIZE 512
/* Without a daemon and without shims it waits so long for the next one. */
#define IDLE_MILLISECONDS 3000

struct kept {
  char name[NAME_MAX_BYTES];
  struct message_fds fds;
};

static struct {
  struct source listener, signals;
  struct source clients[CLIENTS_MAX];
  struct kept *kept[KEPT_MAX];
  bool ending;
} launcher;

/* ---- kept fds ---- */

static struct kept **find_kept(const char *name) {
  for (int i = 0; i < KEPT_MAX; i++)
    if (launcher.kept[i] && !strcmp(launcher.kept[i]->name, name)) return &launcher.kept[i];
  return NULL;
}

static void drop_kept(const char *name) {
  struct kept **at = find_kept(name);
  if (!at) return;
  message_close_fds(&(*at)->fds);
  free(*at);
  *at = NULL;
}

static int put_kept(const char *name, struct message_fds *fds) {
  if (!name[0] || strlen(name) >= NAME_MAX_BYTES || !fds->count) return EINVAL;
  drop_kept(name);
  for (int i = 0; i < KEPT_MAX; i++) {
    if (launcher.kept[i]) continue;
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept) return ENOMEM;
    strcpy(kept->name, name);
    kept->fds = *fds;
    fds->count = 0;
    launcher.kept[i] = kept;
    return 0;
  }
  return ENOSPC;
}

/* ---- requests ---- */

static void client_close(struct source *client) { source_close(client); }

static void answer(struct source *client, uint32_t serial, int error, const struct message_fds *fds) {
  uint8_t bytes[32];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, error ? LAUNCHER_FAILED : LAUNCHER_OK);
  write_u32(&writer, serial);
  write_u32(&writer, error ? (uint32_t)error : LAUNCHER_VERSION);
  write_u32(&writer, (uint32_t)getpid());
  if (message_send(client->fd, bytes, (size_t)(writer.at - bytes), fds ? fds->fds : NULL, fds ? fds->count : 0, MSG_DONTWAIT)) client_close(client);
}

static void fork_shim(struct message_fds *fds) {
  if (fds->count != 1) return;
  int socket = fds->fds[0];
  /* When fork fails the daemon sees its socket close. */
  if (fork() != 0) return;
  int keep[] = {socket};
  close_all_but(keep, 1);
  shim_main(socket);
}

static void handle(struct source *client, struct reader *reader, struct message_fds *fds) {
  uint8_t type = read_u8(reader);
  uint32_t serial = read_u32(reader);
  bool named = type == LAUNCHER_PUT || type == LAUNCHER_GET || type == LAUNCHER_DROP;
  const char *name = named ? read_string(reader) : "";
  if (!reader_done(reader)) {
    answer(client, serial, EPROTO, NULL);
    return;
  }
  struct kept **kept;
  switch (type) {
  case LAUNCHER_FORK:
    fork_shim(fds);
    return;
  case LAUNCHER_PUT:
    answer(client, serial, put_kept(name, fds), NULL);
    return;
  case LAUNCHER_GET:
    kept = find_kept(name);
    answer(client, serial, kept ? 0 : ENOENT, kept ? &(*kept)->fds : NULL);
    return;
  case LAUNCHER_DROP:
    drop_kept(name);
    break;
  case LAUNCHER_END:
    launcher.ending = true;
    break;
  case LAUNCHER_HELLO:
    break;
  default:
    answer(client, serial, EPROTO, NULL);
    return;
  }
  answer(client, serial, 0, NULL);
}

static void client_ready(struct source *client, uint32_t events) {
  uint8_t bytes[MESSAGE_SIZE];
  struct message_fds fds;
  (void)events;
  ssize_t length = message_receive(client->fd, bytes, sizeof bytes, &fds, MSG_DONTWAIT);
  if (length == -EAGAIN) return;
  if (length <= 0) {
    client_close(client);
    return;
  }
  struct reader reader = reader_of(bytes, (size_t)length);
  handle(client, &reader, &fds);
  message_close_fds(&fds);
}

static void listener_ready(struct source *listener, uint32_t events) {
  (void)events;
  int socket = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return;
  for (int i = 0; i < CLIENTS_MAX && peer_is_us(socket); i++) {
    if (launcher.clients[i].fd >= 0) continue;
    launcher.clients[i] = (struct source){.fd = socket, .ready = client_ready};
    watch(&launcher.clients[i], EPOLLIN);
    return;
  }
  close(socket);
}

static void signals_ready(struct source *signals, uint32_t events) {
  struct signalfd_siginfo info[8];
  (void)events;
  while (read(signals->fd, info, sizeof info) > 0);
}

/* ---- life ---- */

static bool has_clients(void) {
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (launcher.clients[i].fd >= 0) return true;
  return false;
}

static bool has_shims(void) { return waitpid(-1, NULL, WNOHANG) == 0; }

/* Shims that end are not waited for: each wait looks at all children, and keeps the kernel from making processes meanwhile. Their
 * SIGCHLD still wakes the loop, to see whether the last one has gone. */
static void let_shims_go(void) {
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGCHLD, &action, NULL);
}

static int set_up(const char *socket_path) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_SETMASK, &signals, NULL);
  let_shims_go();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  for (int i = 0; i < CLIENTS_MAX; i++) launcher.clients[i].fd = -1;
  if (loop_open()) return 1;
  launcher.listener = (struct source){.fd = listen_at(socket_path, 64, true), .ready = listener_ready};
  launcher.signals = (struct source){.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
  if (launcher.listener.fd < 0 || launcher.signals.fd < 0) return 1;
  watch(&launcher.listener, EPOLLIN);
  watch(&launcher.signals, EPOLLIN);
  return 0;
}

__attribute__((noreturn)) static void serve(const char *socket_path) {
  while (!launcher.ending) {
    bool idle = !has_clients() && !has_shims();
    if (!loop_turn(idle ? IDLE_MILLISECONDS : -1) && idle) break;
  }
  unlink(socket_path);
  _exit(0);
}

/* The lock says who may replace the socket; it goes with the process. Two that start at once: the later one waits for the socket. */
static int take_lock(const char *socket_path) {
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s.lock", socket_path) >= sizeof path) return -ENAMETOOLONG;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  if (!flock(fd, LOCK_EX | LOCK_NB)) return fd;
  int error = -errno;
  close(fd);
  return error;
}

static void become_background(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3 && null >= 0; i++) dup2(null, i);
  close(null);
  setsid();
  if (chdir("/")) _exit(1);
  umask(022);
  /* The daemon that started us may be preferred to others; containers are not. */
  setpriority(PRIO_PROCESS, 0, 0);
  prctl(PR_SET_NAME, "gantry-launch");
}

int launcher_main(const char *socket_path) {
  int ready[2];
  char byte;
  if (pipe2(ready, O_CLOEXEC)) return 1;
  pid_t pid = fork();
  if (pid < 0) return 1;
  if (pid > 0) {
    close(ready[1]);
    return read(ready[0], &byte, 1) == 1 ? 0 : 1;
  }
  int lock = take_lock(socket_path);
  if (lock == -EWOULDBLOCK) _exit(write(ready[1], "", 1) != 1);
  if (lock < 0) _exit(1);
  int keep[] = {ready[1], lock};
  close_all_but(keep, 2);
  become_background();
  if (set_up(socket_path) || write(ready[1], "", 1) != 1) _exit(1);
  close(ready[1]);
  serve(socket_path);
}
