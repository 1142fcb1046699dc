#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define REST_MILLISECONDS 1000
#define FINISH_MILLISECONDS 20
#define STACK_USED 131072

struct shim shim;

static void signals_ready(struct source *source, uint32_t events) {
  struct signalfd_siginfo info[8];
  (void)events;
  while (read(source->fd, info, sizeof info) > 0);
  reap();
}

static void listener_ready(struct source *source, uint32_t events) {
  (void)events;
  int socket = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return;
  if (peer_is_us(socket)) connection_open(socket);
  else close(socket);
}

static void set_up(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  prctl(PR_SET_NAME, "gantry-shim");
  for (int i = 0; i < CONNECTIONS_MAX; i++) shim.connections[i].source.fd = -1;
  shim.listener = (struct source){.fd = -1, .ready = listener_ready};
  shim.init.status.fd = shim.mount_namespace = -1;
  shim.signals = (struct source){.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
  if (shim.signals.fd < 0 || loop_open()) _exit(1);
  watch(&shim.signals, EPOLLIN);
}

static int timeout(void) {
  if (shim.finishing && !shim.finished) return FINISH_MILLISECONDS;
  return streams_rested() && !shim.log.buffer ? -1 : REST_MILLISECONDS;
}

/* Gives back the part of the stack that only the start needed. */
__attribute__((noinline)) static void rest_stack(void) {
  long page = sysconf(_SC_PAGESIZE);
  uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(page - 1);
  madvise((void *)(here - 2 * (uintptr_t)page - STACK_USED), STACK_USED, MADV_DONTNEED);
}

/* Somebody attached has not read everything yet. */
static bool owes_output(void) {
  if (has_pending(&shim.init)) return true;
  for (struct process *process = shim.execs; process; process = process->next)
    if (has_pending(process)) return true;
  return false;
}

/* Over, and told to go or nobody left who could. */
static bool done(void) { return (shim.release || (shim.finished && !connected())) && !owes_output(); }

void shim_main(int socket) {
  set_up();
  create_task(socket);
  connection_open(socket);
  watch(&shim.listener, EPOLLIN);
  bool rested = false;
  while (!done()) {
    if (!rested && !shim.plan) {
      rest_stack();
      rested = true;
    }
    if (!loop_turn(timeout())) {
      rest_streams();
      if (shim.log.fd >= 0) logfile_rest(&shim.log);
    }
    finish_when_drained();
    forget_execs();
  }
  if (!shim.release) remove_folder(false);
  _exit(0);
}
