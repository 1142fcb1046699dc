#define _GNU_SOURCE
#include "front.h"
#include "../shim/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
  uint32_t id;
  pid_t pid;
  /* -1: has ended. */
  int pidfd;
  /* -1: has been read, or there is none. */
  int reply;
  bool forward;
  size_t used;
  uint8_t *bytes;
};

static struct {
  int socket;
  bool lost;
  struct child children[CHILDREN_MAX];
  sigset_t forwarded;
  int signals;
} session;

/* ---- to the resident ---- */

static void send_frame(uint8_t type, const struct writer *body) {
  size_t length = (size_t)(body->at - body->start);
  uint8_t header[5];
  struct writer writer = writer_of(header, sizeof header);
  write_u32(&writer, (uint32_t)length + 1);
  write_u8(&writer, type);
  if (session.lost || body->full) return;
  if (write_wholly(session.socket, header, sizeof header) || write_wholly(session.socket, body->start, length)) session.lost = true;
}

static void write_list(struct writer *writer, char **items) {
  uint32_t count = 0;
  while (items[count]) count++;
  write_u32(writer, count);
  for (uint32_t i = 0; i < count; i++) write_string(writer, items[i]);
}

/* False: it does not fit, or the caller's folder has no path. */
static bool send_request(char **argv, char **environment) {
  static uint8_t bytes[REQUEST_MAX];
  char folder[PATH_MAX];
  struct writer writer = writer_of(bytes, sizeof bytes);
  /* Outside of our root it begins with "(unreachable)". */
  if (!getcwd(folder, sizeof folder) || folder[0] != '/') return false;
  write_string(&writer, folder);
  write_list(&writer, argv);
  write_list(&writer, environment);
  if (writer.full) return false;
  send_frame(RESIDENT_REQUEST, &writer);
  return true;
}

/* ---- children ---- */

static struct child *find_child(uint32_t id) {
  for (int i = 0; i < CHILDREN_MAX; i++)
    if (session.children[i].pid && session.children[i].id == id) return &session.children[i];
  return NULL;
}

static void send_failed(uint32_t id, int error) {
  uint8_t bytes[8];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u32(&writer, id);
  write_u32(&writer, (uint32_t)error);
  send_frame(RESIDENT_FAILED, &writer);
}

static void forget(struct child *child) {
  if (!child->pid || child->pidfd >= 0 || child->reply >= 0) return;
  free(child->bytes);
  child->pid = 0;
}

/* All of the reply has come. */
static void send_reply(struct child *child) {
  uint8_t prefix[8];
  static uint8_t bytes[REPLY_MAX + sizeof prefix];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u32(&writer, child->id);
  write_u32(&writer, (uint32_t)child->used);
  write_bytes(&writer, child->bytes, child->used);
  send_frame(RESIDENT_REPLY, &writer);
  close(child->reply);
  child->reply = -1;
  forget(child);
}

static void reply_ready(struct child *child) {
  ssize_t got = read(child->reply, child->bytes + child->used, REPLY_MAX - child->used);
  if (got < 0 && errno == EINTR) return;
  if (got > 0) child->used += (size_t)got;
  if (got <= 0 || child->used == REPLY_MAX) send_reply(child);
}

static void stop_forwarding(void) {
  for (int i = 0; i < CHILDREN_MAX; i++)
    if (session.children[i].pid && session.children[i].pidfd >= 0 && session.children[i].forward) return;
  if (session.signals < 0) return;
  close(session.signals);
  session.signals = -1;
  sigprocmask(SIG_UNBLOCK, &session.forwarded, NULL);
}

static void child_ended(struct child *child) {
  int status = 0;
  while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR);
  close(child->pidfd);
  child->pidfd = -1;
  uint8_t bytes[12];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u32(&writer, child->id);
  write_u32(&writer, (uint32_t)WEXITSTATUS(status));
  write_u32(&writer, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
  /* What it said before its end comes first. */
  while (child->reply >= 0) reply_ready(child);
  send_frame(RESIDENT_ENDED, &writer);
  stop_forwarding();
  forget(child);
}

/* ---- signals ---- */

static void start_forwarding(void) {
  static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGIO, SIGPWR, SIGSYS, SIGTSTP, SIGURG, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ};
  if (session.signals >= 0) return;
  sigemptyset(&session.forwarded);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&session.forwarded, numbers[i]);
  sigprocmask(SIG_BLOCK, &session.forwarded, NULL);
  session.signals = signalfd(-1, &session.forwarded, SFD_CLOEXEC);
}

/* A terminal sends these to all of its foreground processes: the child has had its own. */
static bool comes_from_terminal(int number) {
  if (number != SIGHUP && number != SIGINT && number != SIGQUIT && number != SIGTSTP && number != SIGWINCH) return false;
  return isatty(0) || isatty(1) || isatty(2);
}

static void signal_came(void) {
  struct signalfd_siginfo info;
  if (read(session.signals, &info, sizeof info) != sizeof info || comes_from_terminal((int)info.ssi_signo)) return;
  for (int i = 0; i < CHILDREN_MAX; i++) {
    struct child *child = &session.children[i];
    if (child->pid && child->pidfd >= 0 && child->forward) kill(child->pid, (int)info.ssi_signo);
  }
}

/* ---- from the resident ---- */

static char **read_list(struct reader *reader) {
  uint32_t count = read_u32(reader);
  if (reader->bad || count > (size_t)(reader->end - reader->at) / 5) {
    reader->bad = true;
    return NULL;
  }
  char **items = calloc((size_t)count + 1, sizeof *items);
  for (uint32_t i = 0; items && i < count; i++) items[i] = (char *)read_string(reader);
  if (!items) reader->bad = true;
  return items;
}

/* Nobody could wait for it. */
static int abandon(pid_t pid, int reply) {
  int error = errno;
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR);
  if (reply >= 0) close(reply);
  return -error;
}

static void start_child(uint32_t id, const struct program *program, bool forward) {
  struct child *child = NULL;
  for (int i = 0; i < CHILDREN_MAX && !child; i++)
    if (!session.children[i].pid) child = &session.children[i];
  uint8_t *bytes = child ? malloc(REPLY_MAX) : NULL;
  if (!bytes) return send_failed(id, child ? ENOMEM : EAGAIN);
  if (forward) start_forwarding();
  int reply;
  pid_t pid = spawn_program(program, &reply);
  int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
  if (pidfd >= 0) {
    *child = (struct child){.id = id, .pid = pid, .pidfd = pidfd, .reply = reply, .forward = forward, .bytes = bytes};
    return;
  }
  if (pid > 0) pid = abandon(pid, reply);
  free(bytes);
  if (forward) stop_forwarding();
  send_failed(id, (int)-pid);
}

static bool handle_spawn(struct reader *reader) {
  struct program program;
  uint32_t id = read_u32(reader);
  uint8_t kind = read_u8(reader);
  bool forward = read_bool(reader);
  program.kind = kind;
  program.path = read_string(reader);
  char **args = read_list(reader), **env = read_list(reader);
  program.args = args, program.env = env;
  struct blob input = read_blob(reader);
  program.input = input.bytes, program.input_length = input.length;
  bool good = reader_done(reader) && kind <= SPAWN_HOOK && args && args[0] && !find_child(id);
  if (good) start_child(id, &program, forward);
  free(args);
  free(env);
  return good;
}

static bool handle_output(struct reader *reader) {
  uint8_t fd = read_u8(reader);
  struct blob text = read_blob(reader);
  if (!reader_done(reader) || (fd != 1 && fd != 2)) return false;
  /* Nobody to tell. */
  if (write_wholly(fd, text.bytes, text.length)) errno = 0;
  return true;
}

static bool handle_signal(struct reader *reader) {
  struct child *child = find_child(read_u32(reader));
  uint32_t number = read_u32(reader);
  if (!reader_done(reader) || number >= (uint32_t)NSIG) return false;
  if (child && child->pidfd >= 0) kill(child->pid, (int)number);
  return true;
}

enum step { STEP_ON, STEP_DIRECT, STEP_EXIT, STEP_BAD };

static enum step handle_frame(const uint8_t *bytes, size_t length, int *code) {
  struct reader reader = reader_of(bytes, length);
  switch (read_u8(&reader)) {
  case FRONT_DIRECT:
    return reader_done(&reader) ? STEP_DIRECT : STEP_BAD;
  case FRONT_OUTPUT:
    return handle_output(&reader) ? STEP_ON : STEP_BAD;
  case FRONT_SPAWN:
    return handle_spawn(&reader) ? STEP_ON : STEP_BAD;
  case FRONT_SIGNAL:
    return handle_signal(&reader) ? STEP_ON : STEP_BAD;
  case FRONT_EXIT:
    *code = (int)(read_u32(&reader) & 255);
    return reader_done(&reader) ? STEP_EXIT : STEP_BAD;
  default:
    return STEP_BAD;
  }
}

static enum step receive(int *code) {
  uint8_t header[4];
  if (read_exactly(session.socket, header, sizeof header)) return STEP_BAD;
  struct reader reader = reader_of(header, sizeof header);
  uint32_t length = read_u32(&reader);
  uint8_t *bytes = length && length <= FRAME_MAX ? malloc(length) : NULL;
  enum step step = bytes && !read_exactly(session.socket, bytes, length) ? handle_frame(bytes, length, code) : STEP_BAD;
  free(bytes);
  return step;
}

/* ---- the loop ---- */

static bool children_left(void) {
  for (int i = 0; i < CHILDREN_MAX; i++)
    if (session.children[i].pid) return true;
  return false;
}

/* Waits until something is ready and handles what is not the resident's; true when the resident has sent something. */
static bool turn(void) {
  struct pollfd fds[2 + 2 * CHILDREN_MAX] = {{.fd = session.lost ? -1 : session.socket, .events = POLLIN}, {.fd = session.signals, .events = POLLIN}};
  for (int i = 0; i < CHILDREN_MAX; i++) {
    const struct child *child = &session.children[i];
    fds[2 + 2 * i] = (struct pollfd){.fd = child->pid ? child->reply : -1, .events = POLLIN};
    fds[3 + 2 * i] = (struct pollfd){.fd = child->pid ? child->pidfd : -1, .events = POLLIN};
  }
  if (poll(fds, sizeof fds / sizeof *fds, -1) < 0) return false;
  if (fds[1].revents) signal_came();
  for (int i = 0; i < CHILDREN_MAX; i++) {
    struct child *child = &session.children[i];
    if (fds[2 + 2 * i].revents && child->pid && child->reply >= 0) reply_ready(child);
    if (fds[3 + 2 * i].revents && child->pid && child->pidfd >= 0) child_ended(child);
  }
  return fds[0].revents;
}

/* As a process ends whose children are to end first. */
static void finish(void) {
  session.lost = true;
  while (children_left()) turn();
}

enum session run_session(int socket, char **argv, char **environment, int *code) {
  session.socket = socket;
  session.signals = -1;
  if (!send_request(argv, environment)) return SESSION_DIRECT;
  for (enum step step = STEP_ON;;) {
    if (turn()) step = receive(code);
    if (step == STEP_DIRECT && !children_left()) return SESSION_DIRECT;
    if (step == STEP_ON && !session.lost) continue;
    finish();
    return step == STEP_EXIT ? SESSION_EXIT : SESSION_LOST;
  }
}
