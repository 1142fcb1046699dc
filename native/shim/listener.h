#ifndef GANTRY_LISTENER_H
#define GANTRY_LISTENER_H

#include "failure.h"

struct listener {
  const char *path, *state;
};

/* Takes the listener of a seccomp filter, fd number `fd` of the process `pid`, and sends it with the state to the socket at
 * `path`. Returns 0, or -1 with the failure set. */
int give_listener(struct failure *failure, const struct listener *to, int pid, int fd);

/* Sends `fd` with the text `name` to the stream socket at `path`; 0 or -errno. */
int send_fd_to(const char *path, const char *name, size_t length, int fd);

#endif
