#define _GNU_SOURCE
#include "listener.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

int send_fd_to(const char *path, const char *name, size_t length, int fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  /* "@name" is an abstract address, as Go's libraries have it. */
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t size = path[0] == '@' ? (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)) : sizeof address;
  int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return -errno;
  int error = connect(socket_fd, (struct sockaddr *)&address, size) ? -errno : message_send(socket_fd, name, length, &fd, 1, 0);
  close(socket_fd);
  return error;
}

static int take_fd(int pid, int fd) {
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return -errno;
  int taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
  int error = taken < 0 ? -errno : taken;
  close(pidfd);
  return error;
}

/* The state with every "pid":0 replaced. */
static char *state_of(const char *text, int pid) {
  static const char place[] = "\"pid\":0";
  char *state = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&state, &size);
  if (!out) return NULL;
  for (const char *at; (at = strstr(text, place)); text = at + sizeof place - 1) {
    fwrite(text, 1, (size_t)(at - text), out);
    fprintf(out, "\"pid\":%d", pid);
  }
  fputs(text, out);
  if (fclose(out)) return NULL;
  return state;
}

int give_listener(struct failure *failure, const struct listener *to, int pid, int fd) {
  int listener = take_fd(pid, fd);
  if (listener < 0) return fail(failure, -listener, "seccomp", "listener");
  char *state = state_of(to->state, pid);
  int error = state ? send_fd_to(to->path, state, strlen(state), listener) : -ENOMEM;
  free(state);
  close(listener);
  return error ? fail(failure, -error, "seccompListener", to->path) : 0;
}
