/* Making a process: clone with namespaces, a status socket to it, and what it says there.
 *
 *   shim                     stage (only with user or time namespaces, id-mapped mounts, or a pid namespace to join; always for an exec)
 *    │ ──fork──────────────▶ │ joins namespaces, opens sources
 *    │                       │ ──clone, sibling of the stage──▶ │ child waits at the gate
 *    │ ◀── PID ───────────── │                                  │
 *    │ ── gate (after id maps, by the shim with a user namespace, else by the stage) ─▶ │ ops
 *    │ ◀── HOOK index ───────────────────────────────────────── │ at each prestart and createRuntime hook
 *    │ ── GO ─────────────────────────────────────────────────▶ │
 *    │ ◀── IDMAP index, with a mount ────────────────────────── │ of a bind whose source an earlier mount made
 *    │ ── GO ─────────────────────────────────────────────────▶ │
 *    │ ◀── LISTENER fd ──────────────────────────────────────── │ of a seccomp filter: taken and handed on
 *    │ ── GO ─────────────────────────────────────────────────▶ │
 *    │ ◀── READY, with the pty's master ─────────────────────── │
 *    │ ── GO (unless it was not to wait) ─────────────────────▶ │
 *    │ ◀── EXECUTING, with timings ──────────────────────────── │ execve: the socket closes (without a shim: before it waits)
 *    │ ◀── FAILED at any time ─────────────────────────────────
 */
#ifndef GANTRY_SPAWN_H
#define GANTRY_SPAWN_H

#include <sys/types.h>

#include "failure.h"
#include "plan.h"

enum status_message { STATUS_PID = 1, STATUS_READY, STATUS_EXECUTING, STATUS_FAILED, STATUS_GO, STATUS_HOOK, STATUS_LISTENER, STATUS_IDMAP };

struct spawn {
  /* One of the two. */
  const struct plan *plan;
  const struct exec_plan *exec_plan;
  /* Of init, for an exec. */
  int init_pidfd;
  /* Where the root is attached; see struct context. */
  const char *mountpoint;
  int stdio[3];
  const int *plan_fds;
  size_t plan_fd_count;
  /* Say READY and wait for GO. */
  bool wait;
  bool trace;
  uint32_t width, height;
  /* See struct context. */
  const int *preserved;
  uint32_t preserved_count;
  /* Wait for a byte from this fifo instead of for GO; -1: none. */
  int start_fifo;

  /* Results: our end of the status socket; the gate that we must open, or -1; pid 0: comes by STATUS_PID. */
  int status;
  int gate;
  pid_t stage;
  pid_t pid;
};

/* 0, or -1 with `failure` set and nothing left behind. */
int spawn_init(struct spawn *spawn, struct failure *failure);
int spawn_exec(struct spawn *spawn, struct failure *failure);
/* Parent ops of the plan on the child, then opens the gate. */
int run_parent_ops(const struct plan *plan, pid_t pid, struct failure *failure);
void open_gate(struct spawn *spawn);

/* Whether the task has a pid namespace of its own: then the kernel ends everything in it with init. */
bool has_private_pids(const struct plan *plan);

#endif
