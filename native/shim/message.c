#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
};

void message_close_fds(struct message_fds *fds) {
  for (size_t i = 0; i < fds->count; i++)
    if (fds->fds[i] >= 0) close(fds->fds[i]);
  fds->count = 0;
}

int message_take_fd(struct message_fds *fds) {
  if (!fds->count) return -1;
  int fd = fds->fds[0];
  memmove(fds->fds, fds->fds + 1, --fds->count * sizeof fds->fds[0]);
  return fd;
}

static void take_control(struct msghdr *header, struct message_fds *fds) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (fds->count < MESSAGE_FDS_MAX) fds->fds[fds->count++] = fd;
      else close(fd);
    }
  }
}

ssize_t message_receive(int socket, void *into, size_t size, struct message_fds *fds, int flags) {
  union control control;
  struct iovec vector = {into, size};
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  fds->count = 0;
  ssize_t length;
  while ((length = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR);
  if (length < 0) return -errno;
  take_control(&header, fds);
  /* An empty message looks like the end; what came with it must not stay open. */
  if (length == 0) message_close_fds(fds);
  if (!(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return length;
  message_close_fds(fds);
  return header.msg_flags & MSG_TRUNC ? -EMSGSIZE : -ETOOMANYREFS;
}

int message_send(int socket, const void *bytes, size_t length, const int *fds, size_t fd_count, int flags) {
  union control control;
  struct iovec vector = {(void *)bytes, length};
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
  if (fd_count > MESSAGE_FDS_MAX) return -EINVAL;
  if (fd_count) {
    memset(&control, 0, sizeof control);
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * fd_count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fd_count);
  }
  ssize_t sent;
  while ((sent = sendmsg(socket, &header, flags | MSG_NOSIGNAL)) < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

#define PATIENCE_MILLISECONDS 5000

int message_send_whole(int socket, const void *bytes, size_t length) {
  int error = message_send(socket, bytes, length, NULL, 0, MSG_DONTWAIT);
  struct pollfd room = {.fd = socket, .events = POLLOUT};
  if (error != -EAGAIN || poll(&room, 1, PATIENCE_MILLISECONDS) <= 0) return error;
  return message_send(socket, bytes, length, NULL, 0, MSG_DONTWAIT);
}

bool peer_is_us(int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return !getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid();
}

int listen_at(const char *path, int backlog, bool replace) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  mode_t before = umask(0177);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
  if (error == EADDRINUSE && replace) error = unlink(path) || bind(fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
  umask(before);
  if (!error && !listen(fd, backlog)) return fd;
  if (!error) error = errno;
  close(fd);
  return -error;
}
