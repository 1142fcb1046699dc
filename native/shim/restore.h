/* Restoring a container with criu, which is our child and makes the container's init its own sibling: so that init's parent is who
 * would be its parent had it been created, and its end is ours to wait for. */
#ifndef GANTRY_RESTORE_H
#define GANTRY_RESTORE_H

#include <sys/types.h>

#include "failure.h"

/* `criu swrk 3` (found by PATH) in the plan's groups, with fds 0-2 and `fds` from 3 on. Its pid, or -1 with `failure` set. */
pid_t start_criu(const struct plan *plan, const int *fds, uint32_t count, struct failure *failure);

/* When criu is done, `control` (a seqpacket socket) gets one message: init's pid, with the master of its terminal if that is ours to
 * serve. With `wait` it ends when init does, with its code. 1: the other end closed without a word. */
int finish_restore(int control, pid_t criu, bool wait);

#endif
