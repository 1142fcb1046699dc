#define _GNU_SOURCE
#include "oneshot.h"
#include "executor.h"
#include "host.h"
#include "idmap.h"
#include "listener.h"
#include "message.h"
#include "restore.h"
#include "shim.h"
#include "spawn.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLAN_FD 3
#define REPLY_FD 4
#define MESSAGE_SIZE 8192

/* One process to make. */
struct oneshot {
  bool create;
  /* A container all the same, but its processes are criu's to make. */
  bool restore;
  bool wait;
  bool trace;
  const char *folder;
  const char *mountpoint;
  const char *console_socket;
  const char *pidfd_socket;
  int preserved[PRESERVED_MAX];
  struct plan plan;
  struct exec_plan exec_plan;
  struct spawn spawn;
  struct timings timings;
  pid_t pid;
  /* The terminal's master, while we stay; -1: none. */
  int master;
  bool executing;
  bool done;
};

/* False: nobody to tell, the caller is gone. */
static bool reply_bytes(const struct writer *writer) {
  bool told = write(REPLY_FD, writer->start, (size_t)(writer->at - writer->start)) >= 0;
  close(REPLY_FD);
  return told;
}

static struct writer reply_of(uint8_t *bytes, enum reply reply) {
  struct writer writer = writer_of(bytes, MESSAGE_SIZE);
  write_u8(&writer, (uint8_t)reply);
  write_u32(&writer, 0);
  return writer;
}

/* Undoes what was made. */
__attribute__((noreturn)) static void give_up_on(struct oneshot *o, const struct failure *failure) {
  if (o->pid > 0) kill(o->pid, SIGKILL);
  if (o->spawn.stage > 0) kill(o->spawn.stage, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
  if (o->create) {
    kill_cgroups(plan_cgroups(&o->plan), SIGKILL);
    run_teardown(&o->plan.teardown, 0);
  }
  uint8_t bytes[MESSAGE_SIZE];
  struct writer writer = reply_of(bytes, REPLY_FAILED);
  write_failure(&writer, failure);
  reply_bytes(&writer);
  _exit(1);
}

static void send_pidfd(struct oneshot *o) {
  struct failure failure = {.section = SECTION_CLONE};
  int pidfd = (int)syscall(SYS_pidfd_open, o->pid, 0);
  int error = pidfd < 0 ? -errno : send_fd_to(o->pidfd_socket, "pidfd", strlen("pidfd"), pidfd);
  if (pidfd >= 0) close(pidfd);
  if (!error) return;
  fail(&failure, -error, "pidfdSocket", o->pidfd_socket);
  give_up_on(o, &failure);
}

static void tell_made(struct oneshot *o) {
  if (o->pidfd_socket) send_pidfd(o);
  uint8_t bytes[MESSAGE_SIZE];
  struct writer writer = reply_of(bytes, o->create ? REPLY_CREATED : REPLY_EXEC_STARTED);
  write_u32(&writer, (uint32_t)o->pid);
  write_u64(&writer, clock_nanoseconds(CLOCK_REALTIME));
  write_timings(&writer, &o->timings);
  bool told = reply_bytes(&writer);
  o->done = true;
  /* A container that nobody has heard of is nobody's to start or delete. */
  struct failure nobody = {.error = EPIPE};
  if (!told && o->create) give_up_on(o, &nobody);
}

/* ---- the console socket ---- */

static void take_master(struct oneshot *o, int master) {
  struct failure failure = {.section = SECTION_CHILD};
  if (o->console_socket) {
    /* Whoever gets it expects a terminal like any other. */
    fcntl(master, F_SETFL, fcntl(master, F_GETFL) & ~O_NONBLOCK);
    int error = send_fd_to(o->console_socket, "/dev/ptmx", strlen("/dev/ptmx"), master);
    close(master);
    if (error) {
      fail(&failure, -error, "console", o->console_socket);
      give_up_on(o, &failure);
    }
  } else {
    plain_line_ends(master);
    o->master = master;
  }
}

/* ---- what the child says ---- */

static void pid_known(struct oneshot *o, pid_t pid) {
  struct failure failure = {0};
  o->pid = pid;
  if (o->create && run_parent_ops(&o->plan, pid, &failure)) give_up_on(o, &failure);
  open_gate(&o->spawn);
}

static void say_go(struct oneshot *o) {
  uint8_t go = STATUS_GO;
  message_send(o->spawn.status, &go, 1, NULL, 0, 0);
}

static void idmap_asked(struct oneshot *o, uint32_t index, struct message_fds *fds) {
  struct failure failure = {.section = SECTION_CHILD, .index = index};
  if (!o->create || index >= o->plan.child.count || o->plan.child.items[index].code != OP_BIND || !fds->count) return;
  if (idmap_mount(&failure, fds->fds[0], &o->plan.child.items[index])) give_up_on(o, &failure);
  say_go(o);
}

static void listener_given(struct oneshot *o, int fd) {
  struct failure failure = {.section = SECTION_EXEC};
  const struct exec_step *step = o->create ? &o->plan.exec : &o->exec_plan.exec;
  struct listener to = {step->listener_path, step->listener_state};
  if (give_listener(&failure, &to, o->pid, fd)) give_up_on(o, &failure);
  say_go(o);
}

static void hook_asked(struct oneshot *o, uint32_t index) {
  struct failure failure = {.section = SECTION_CHILD, .index = index};
  if (!o->create || index >= o->plan.child.count || o->plan.child.items[index].code != OP_HOOK) return;
  if (run_hook(&failure, &o->plan.child.items[index], o->pid)) give_up_on(o, &failure);
  say_go(o);
}

static void read_timings(struct oneshot *o, struct reader *reader) {
  for (uint32_t left = read_u32(reader); left && !reader->bad; left--) {
    struct timing timing = {.section = read_u8(reader)};
    timing.index = read_u32(reader);
    timing.nanoseconds = read_u32(reader);
    if (o->timings.wanted && o->timings.count < TIMINGS_MAX) o->timings.items[o->timings.count++] = timing;
  }
}

static void handle(struct oneshot *o, struct reader *reader, struct message_fds *fds) {
  struct failure failure = {0};
  int master;
  switch (read_u8(reader)) {
  case STATUS_PID:
    pid_known(o, (pid_t)read_u32(reader));
    break;
  case STATUS_HOOK:
    hook_asked(o, read_u32(reader));
    break;
  case STATUS_IDMAP:
    idmap_asked(o, read_u32(reader), fds);
    break;
  case STATUS_LISTENER:
    listener_given(o, (int)read_u32(reader));
    break;
  case STATUS_READY:
    master = message_take_fd(fds);
    if (master >= 0) take_master(o, master);
    if (o->create) tell_made(o);
    else if (o->spawn.wait) say_go(o);
    break;
  case STATUS_EXECUTING:
    read_timings(o, reader);
    o->executing = true;
    break;
  case STATUS_FAILED:
    read_failure(reader, &failure);
    give_up_on(o, &failure);
  }
}

/* Until the process is made: the status socket closes by itself when the child waits for its fifo or executes. */
static void follow(struct oneshot *o) {
  while (!o->done) {
    uint8_t bytes[MESSAGE_SIZE];
    struct message_fds fds;
    ssize_t length = message_receive(o->spawn.status, bytes, sizeof bytes, &fds, 0);
    /* execve closes the child's end; a failed one says so first. */
    if (length == 0 && o->executing) {
      tell_made(o);
      break;
    }
    if (length <= 0) {
      struct failure failure = {.section = SECTION_CHILD};
      fail(&failure, length < 0 ? (int)-length : ECHILD, "init", "");
      give_up_on(o, &failure);
    }
    struct reader reader = reader_of(bytes, (size_t)length);
    handle(o, &reader, &fds);
    message_close_fds(&fds);
  }
  close(o->spawn.status);
}

/* ---- starting ---- */

static uint8_t *read_plan(size_t *length) {
  size_t size = 1 << 16;
  uint8_t *bytes = malloc(size);
  *length = 0;
  while (bytes) {
    ssize_t got = read(PLAN_FD, bytes + *length, size - *length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    *length += (size_t)got;
    if (*length == size) bytes = size < PLAN_MAX_BYTES ? realloc(bytes, size *= 2) : NULL;
  }
  close(PLAN_FD);
  return bytes;
}

static int make_fifo(struct oneshot *o, struct failure *failure) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/exec.fifo", o->folder);
  if (mkfifo(path, 0600)) return fail_errno(failure, "folder", path);
  /* For writing too, so that reading waits for the first byte. */
  o->spawn.start_fifo = open(path, O_RDWR | O_CLOEXEC);
  return o->spawn.start_fifo < 0 ? fail_errno(failure, "folder", path) : 0;
}

static int spawn_create(struct oneshot *o, struct failure *failure) {
  o->spawn.plan = &o->plan;
  o->spawn.mountpoint = o->mountpoint;
  if (make_fifo(o, failure) || run_host_ops(&o->plan.host, failure, &o->timings) || spawn_init(&o->spawn, failure)) return -1;
  close(o->spawn.start_fifo);
  if (!o->spawn.pid) return 0;
  o->pid = o->spawn.pid;
  return run_parent_ops(&o->plan, o->pid, failure);
}

static int spawn_further(struct oneshot *o, pid_t init, struct failure *failure) {
  o->spawn.exec_plan = &o->exec_plan;
  o->spawn.init_pidfd = (int)syscall(SYS_pidfd_open, init, 0);
  if (o->spawn.init_pidfd < 0) return fail_errno(failure, "init", "");
  int error = spawn_exec(&o->spawn, failure);
  close(o->spawn.init_pidfd);
  return error;
}

static int decode(struct oneshot *o) {
  static struct arena arena;
  size_t length;
  uint8_t *bytes = read_plan(&length);
  if (!bytes) return -ENOMEM;
  return o->create ? plan_decode(bytes, length, &o->plan, &arena) : exec_plan_decode(bytes, length, &o->exec_plan, &arena);
}

static int options(struct oneshot *o, int argc, char **argv) {
  for (int i = 0; i < argc; i++) {
    if (!strcmp(argv[i], "--wait")) o->wait = true;
    else if (!strcmp(argv[i], "--trace")) o->trace = true;
    else if (!strcmp(argv[i], "--console-socket") && i + 1 < argc) o->console_socket = argv[++i];
    else if (!strcmp(argv[i], "--pidfd-socket") && i + 1 < argc) o->pidfd_socket = argv[++i];
    else if (!strcmp(argv[i], "--mountpoint") && i + 1 < argc) o->mountpoint = argv[++i];
    else if (!strcmp(argv[i], "--preserve-fds") && i + 1 < argc && sscanf(argv[++i], "%u", &o->spawn.preserved_count) == 1 && o->spawn.preserved_count <= PRESERVED_MAX) continue;
    else if (!strcmp(argv[i], "--env") && i + 1 < argc && !putenv(argv[++i])) continue;
    else if (!strcmp(argv[i], "--size") && i + 1 < argc && sscanf(argv[++i], "%ux%u", &o->spawn.width, &o->spawn.height) == 2) continue;
    else return -1;
  }
  return 0;
}

/* Above the places that they will take. */
static void lift_preserved(struct oneshot *o) {
  o->spawn.preserved = o->preserved;
  for (uint32_t i = 0; i < o->spawn.preserved_count; i++) {
    int given = REPLY_FD + 1 + (int)i;
    o->preserved[i] = fcntl(given, F_DUPFD_CLOEXEC, 3 + PRESERVED_MAX);
    if (o->preserved[i] < 0) dprintf(2, "fd %d cannot be preserved\n", given), _exit(2);
    close(given);
  }
}

/* The first of the further fds is ours, the others are criu's. */
static int restore(struct oneshot *o) {
  struct failure failure = {0};
  if (o->wait) hold_signals();
  if (run_host_ops(&o->plan.host, &failure, &o->timings)) give_up_on(o, &failure);
  o->pid = start_criu(&o->plan, o->preserved + 1, o->spawn.preserved_count - 1, &failure);
  if (o->pid < 0) give_up_on(o, &failure);
  for (uint32_t i = 1; i < o->spawn.preserved_count; i++) close(o->preserved[i]);
  tell_made(o);
  return finish_restore(o->preserved[0], o->pid, o->wait);
}

static int usage(void) {
  dprintf(2, "usage: gantry-shim exec-plan create FOLDER | restore FOLDER | exec PID [OPTIONS]\n");
  return 2;
}

int oneshot_main(int argc, char **argv) {
  static struct oneshot o = {.spawn = {.init_pidfd = -1, .start_fifo = -1, .stdio = {0, 1, 2}}, .master = -1};
  if (argc < 2) return usage();
  o.restore = !strcmp(argv[0], "restore");
  o.create = o.restore || !strcmp(argv[0], "create");
  o.folder = argv[1];
  pid_t init = o.create ? 0 : atoi(argv[1]);
  if ((!o.create && (strcmp(argv[0], "exec") || init <= 0)) || options(&o, argc - 2, argv + 2) || (o.restore && o.spawn.preserved_count < 2)) return usage();
  fcntl(REPLY_FD, F_SETFD, FD_CLOEXEC);
  lift_preserved(&o);
  signal(SIGPIPE, SIG_IGN);
  timings_start(&o.timings, o.trace);
  o.spawn.trace = o.trace;
  struct failure failure = {0};
  int error = decode(&o);
  if (error) {
    o.create = false;
    fail(&failure, -error, "plan", "");
    give_up_on(&o, &failure);
  }
  if (o.restore) return restore(&o);
  const struct exec_step *step = o.create ? &o.plan.exec : &o.exec_plan.exec;
  if (step->terminal) for (int i = 0; i < 3; i++) o.spawn.stdio[i] = -1;
  /* Until its terminal is as it shall be. */
  o.spawn.wait = !o.create && step->terminal;
  if (o.create ? spawn_create(&o, &failure) : spawn_further(&o, init, &failure)) give_up_on(&o, &failure);
  if (o.wait) hold_signals();
  follow(&o);
  return o.wait ? attend(o.pid, o.master) : 0;
}
