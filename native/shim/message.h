/* Datagrams with fds over SOCK_SEQPACKET sockets. */
#ifndef GANTRY_MESSAGE_H
#define GANTRY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MESSAGE_FDS_MAX 8

struct message_fds {
  int fds[MESSAGE_FDS_MAX];
  size_t count;
};

/* Length, 0 at the end of the stream, or -errno. -EMSGSIZE: longer than size; -ETOOMANYREFS: more fds than can be held. */
ssize_t message_receive(int socket, void *into, size_t size, struct message_fds *fds, int flags);
/* 0 or -errno. */
int message_send(int socket, const void *bytes, size_t length, const int *fds, size_t fd_count, int flags);
/* Without waiting but for room, and for that some seconds. */
int message_send_whole(int socket, const void *bytes, size_t length);
void message_close_fds(struct message_fds *fds);
/* Takes the first fd out, or -1. */
int message_take_fd(struct message_fds *fds);

/* The peer runs as our own user. */
bool peer_is_us(int socket);
/* A listening seqpacket socket at `path`, mode 0600, non-blocking; or -errno. `replace`: an old socket there goes. */
int listen_at(const char *path, int backlog, bool replace);

#endif
