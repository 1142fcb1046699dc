/* Messages to a shim, from daemons and from processes that start: pieces of u8 kind, u16 length, bytes.
 *
 *   kind % 4 == 0, 1   a request from a daemon, with kind / 4 % 3 fds
 *   2                  a status message from the process that was made last, kind / 4 % 2: with an fd
 *   3                  its status socket closes
 *
 * What would reach the kernel is replaced below. No fds and no memory may be left at the end. */
#define _GNU_SOURCE
#include "../shim/executor.h"
#include "../shim/host.h"
#include "../shim/idmap.h"
#include "../shim/listener.h"
#include "../shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct shim shim;
/* The child's end of the last status socket. */
static int child = -1;

int spawn_exec(struct spawn *spawn, struct failure *failure) {
  int pair[2];
  if (spawn->exec_plan->exec.cwd[0] == '!') return fail(failure, EPERM, "exec", "");
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) abort();
  if (child >= 0) close(child);
  child = pair[1];
  spawn->status = pair[0];
  spawn->gate = -1;
  return 0;
}

int run_parent_ops(const struct plan *plan, pid_t pid, struct failure *failure) {
  (void)plan, (void)pid, (void)failure;
  return 0;
}

void open_gate(struct spawn *spawn) { (void)spawn; }

void hold_init(void) {}

int give_listener(struct failure *failure, const struct listener *to, int pid, int fd) {
  (void)to, (void)pid, (void)fd;
  return fail(failure, ENOENT, "seccompListener", "");
}

int idmap_mount(struct failure *failure, int mount, const struct op *op) {
  (void)mount, (void)op;
  return fail(failure, EPERM, "idmap", "");
}

int run_hook(struct failure *failure, const struct op *op, int pid) {
  (void)failure, (void)op, (void)pid;
  return 0;
}

int kill_cgroups(const struct strings *paths, int signal_number) {
  (void)paths, (void)signal_number;
  return 0;
}

void thaw_cgroups(const struct strings *paths) { (void)paths; }

uint64_t count_oom_kills(const struct strings *paths) {
  (void)paths;
  return 0;
}

int run_teardown(const struct ops *ops, pid_t init) {
  (void)ops, (void)init;
  return 0;
}

void give_up(const struct failure *failure) {
  (void)failure;
  abort();
}

void free_plan(void) {}
int write_task_file(pid_t init) { return (void)init, 0; }
int write_exit_record(void) { return 0; }
void remove_folder(bool with_record) { (void)with_record; }

static int open_fds(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static void set_up(int socket, int status[2]) {
  static bool looping;
  if (!looping && loop_open()) abort();
  looping = true;
  signal(SIGPIPE, SIG_IGN);
  memset(&shim, 0, sizeof shim);
  for (int i = 0; i < CONNECTIONS_MAX; i++) shim.connections[i].source.fd = -1;
  shim.log.fd = -1;
  struct process *init = &shim.init;
  init->pidfd = init->input.fd = init->out.source.fd = init->err.source.fd = init->terminal_peer = -1;
  init->state = PROCESS_CREATED;
  init->spawn.gate = -1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status)) abort();
  init->spawn.status = status[0];
  watch_status(init);
  connection_open(socket);
}

static void send_piece(int socket, const uint8_t *bytes, size_t size, size_t fd_count) {
  int fds[MESSAGE_FDS_MAX] = {0}, pair[2];
  for (size_t i = 0; i < fd_count; i++) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) abort();
    fds[i] = pair[0];
    close(pair[1]);
  }
  message_send(socket, bytes, size, fds, fd_count, MSG_DONTWAIT);
  for (size_t i = 0; i < fd_count; i++) close(fds[i]);
}

static void take_piece(int socket, uint8_t kind, const uint8_t *bytes, size_t length) {
  if (kind % 4 < 2) send_piece(socket, bytes, length, kind / 4 % 3);
  else if (child < 0) return;
  else if (kind % 4 == 2) send_piece(child, bytes, length, kind / 4 % 2);
  else {
    close(child);
    child = -1;
  }
}

static void drop_replies(int socket) {
  uint8_t bytes[65536];
  struct message_fds fds;
  while (message_receive(socket, bytes, sizeof bytes, &fds, MSG_DONTWAIT) > 0) message_close_fds(&fds);
}

static void tear_down(void) {
  while (shim.execs) free_exec(shim.execs);
  for (int i = 0; i < CONNECTIONS_MAX; i++) connection_close(&shim.connections[i]);
  close_streams(&shim.init);
  source_close(&shim.init.status);
  if (shim.init.pidfd >= 0) close(shim.init.pidfd);
  rest_streams();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  int before = open_fds(), pair[2], status[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) abort();
  set_up(pair[0], status);
  child = status[1];
  /* The loop's own fd stays after the first run. */
  static bool first = true;
  if (first) before++;
  first = false;
  while (size >= 3) {
    uint8_t kind = bytes[0];
    size_t length = bytes[1] | (size_t)bytes[2] << 8;
    bytes += 3, size -= 3;
    if (length > size) length = size;
    take_piece(pair[1], kind, bytes, length);
    for (int i = 0; i < 4 && loop_turn(0); i++);
    forget_execs();
    drop_replies(pair[1]);
    bytes += length, size -= length;
  }
  tear_down();
  close(pair[1]);
  if (child >= 0) close(child);
  child = -1;
  if (open_fds() != before) abort();
  return 0;
}
