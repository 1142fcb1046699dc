#define _GNU_SOURCE
#include "adoption.h"
#include "host.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REPLY_SIZE 16384
#define EXECS_MAX 4096

/* ---- replies ---- */

/* Room for the answers to thousands of execs at once, which a busy daemon reads late. */
#define SEND_BYTES (4 << 20)

static void send_reply(struct connection *connection, struct writer *writer) {
  if (!connection || connection->source.fd < 0) return;
  int error = writer->full ? -EMSGSIZE : message_send_whole(connection->source.fd, writer->start, (size_t)(writer->at - writer->start));
  /* A daemon that lets all that pile up is as good as gone. */
  if (error) connection_close(connection);
}

static struct writer start_reply(uint8_t *bytes, enum reply reply, uint32_t serial) {
  struct writer writer = writer_of(bytes, REPLY_SIZE);
  write_u8(&writer, (uint8_t)reply);
  write_u32(&writer, serial);
  return writer;
}

void reply_ok(struct connection *connection, uint32_t serial) {
  uint8_t bytes[REPLY_SIZE];
  struct writer writer = start_reply(bytes, REPLY_OK, serial);
  send_reply(connection, &writer);
}

void reply_failure(struct connection *connection, uint32_t serial, const struct failure *failure) {
  uint8_t bytes[REPLY_SIZE];
  struct writer writer = start_reply(bytes, REPLY_FAILED, serial);
  write_failure(&writer, failure);
  send_reply(connection, &writer);
}

static void reply_error(struct connection *connection, uint32_t serial, int error, const char *step) {
  struct failure failure = {0};
  fail(&failure, error, step, "");
  reply_failure(connection, serial, &failure);
}

static void write_trace(struct writer *writer, struct process *process) {
  static const struct timings none;
  write_timings(writer, process->timings ? process->timings : &none);
  if (process->timings) process->timings->count = 0;
}

static void answer(struct process *process, enum reply reply) {
  uint8_t bytes[REPLY_SIZE];
  struct writer writer = start_reply(bytes, reply, process->serial);
  write_u32(&writer, (uint32_t)process->pid);
  write_u64(&writer, process->started_at);
  write_trace(&writer, process);
  send_reply(process->asker, &writer);
  process->asker = NULL;
}

void reply_created(struct process *process) { answer(process, REPLY_CREATED); }

void reply_started(struct process *process) { answer(process, process->id[0] ? REPLY_EXEC_STARTED : REPLY_STARTED); }

static void write_exit(struct writer *writer, const struct process *process) {
  write_u32(writer, (uint32_t)process->exit_code);
  write_u64(writer, process->exited_at);
  write_u8(writer, !process->id[0] && shim.oom_killed);
}

void tell_exit(struct process *process) {
  uint8_t bytes[REPLY_SIZE];
  struct writer writer = start_reply(bytes, process->id[0] ? REPLY_EXEC_EXITED : REPLY_EXITED, 0);
  write_string(&writer, process->id);
  write_exit(&writer, process);
  for (int i = 0; i < CONNECTIONS_MAX; i++)
    if (shim.connections[i].source.fd >= 0) send_reply(&shim.connections[i], &writer);
  process->told = connected();
}

/* ---- requests ---- */

struct call {
  struct connection *connection;
  uint32_t serial;
  struct reader reader;
  struct message_fds *fds;
};

static void refuse(struct call *call, int error, const char *step) { reply_error(call->connection, call->serial, error, step); }

static void ask(struct process *process, struct call *call) {
  process->asker = call->connection;
  process->serial = call->serial;
}

/* By another runtime. One that cannot start is over. */
static void start_other(struct call *call) {
  struct failure failure = {0};
  if (!start_adopted(&failure)) return;
  shim.init.asker = NULL;
  reply_failure(call->connection, call->serial, &failure);
  kill_cgroups(&shim.cgroups, SIGKILL);
  if (shim.init.pidfd >= 0) syscall(SYS_pidfd_send_signal, shim.init.pidfd, SIGKILL, NULL, 0);
}

static void request_start(struct call *call) {
  struct process *init = &shim.init;
  uint8_t go = STATUS_GO;
  if (init->state == PROCESS_EXITED) return refuse(call, ESRCH, "start");
  if (init->state != PROCESS_CREATED || init->asker) return refuse(call, EALREADY, "start");
  ask(init, call);
  if (init->adoption) return start_other(call);
  int error = message_send(init->status.fd, &go, 1, NULL, 0, 0);
  if (!error) return;
  init->asker = NULL;
  refuse(call, -error, "start");
}

static void request_signal(struct call *call) {
  struct process *process = find_process(read_string(&call->reader));
  int signal = (int)read_u32(&call->reader);
  bool all = read_bool(&call->reader);
  if (!reader_done(&call->reader)) return refuse(call, EPROTO, "signal");
  if (!process || process->state == PROCESS_EXITED || process->pidfd < 0) return refuse(call, ESRCH, "signal");
  if (all) kill_cgroups(&shim.cgroups, signal);
  /* A command is in none of the groups. */
  if ((!all || is_command(process)) && syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0)) return refuse(call, errno, "signal");
  reply_ok(call->connection, call->serial);
}

static void request_attach(struct call *call) {
  struct process *process = find_process(read_string(&call->reader));
  bool in = read_bool(&call->reader), out = read_bool(&call->reader), err = read_bool(&call->reader);
  if (!reader_done(&call->reader) || !call->fds->count) return refuse(call, EPROTO, "attach");
  if (!process || process->state == PROCESS_EXITED) return refuse(call, ESRCH, "attach");
  int socket = message_take_fd(call->fds);
  int error = attach(process, socket, in, out, err);
  if (!error) return reply_ok(call->connection, call->serial);
  close(socket);
  refuse(call, -error, "attach");
}

static void request_resize(struct call *call) {
  struct process *process = find_process(read_string(&call->reader));
  uint32_t width = read_u32(&call->reader), height = read_u32(&call->reader);
  struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
  if (!reader_done(&call->reader)) return refuse(call, EPROTO, "resize");
  if (!process || process->state == PROCESS_EXITED) return refuse(call, ESRCH, "resize");
  if (!process->terminal) return refuse(call, ENOTTY, "resize");
  if (process->out.source.fd < 0 || ioctl(process->out.source.fd, TIOCSWINSZ, &size)) return refuse(call, process->out.source.fd < 0 ? EAGAIN : errno, "resize");
  reply_ok(call->connection, call->serial);
}

static void request_log(struct call *call) {
  int error = logfile_change(&shim.log, &call->reader);
  if (error) return refuse(call, -error, "log");
  reply_ok(call->connection, call->serial);
}

/* ---- exec ---- */

struct exec_request {
  const char *id;
  bool terminal, in, stdin_once, attach, attach_in, attach_out, attach_err, plan_in_fd;
  uint32_t width, height;
  struct blob plan;
  struct adoption_request adoption;
};

static bool decode_exec_request(struct reader *r, struct exec_request *request, bool adopts) {
  request->id = read_string(r);
  request->terminal = read_bool(r);
  request->in = read_bool(r);
  request->stdin_once = read_bool(r);
  request->width = read_u32(r);
  request->height = read_u32(r);
  request->attach = read_bool(r);
  request->attach_in = read_bool(r);
  request->attach_out = read_bool(r);
  request->attach_err = read_bool(r);
  request->plan_in_fd = read_bool(r);
  request->plan = read_blob(r);
  request->adoption = (struct adoption_request){.width = request->width, .height = request->height};
  if (adopts) request->adoption.pid_file = read_string(r);
  if (adopts) request->adoption.console = read_string(r);
  return reader_done(r) && request->id[0] && strlen(request->id) < sizeof shim.init.id;
}

/* The plan's bytes when they come in a file; to be unmapped. */
static void *map_exec_plan(struct call *call, struct exec_request *request) {
  int fd = message_take_fd(call->fds);
  struct stat info;
  void *bytes = NULL;
  if (fd >= 0 && !fstat(fd, &info) && info.st_size >= 8 && info.st_size <= PLAN_MAX_BYTES) {
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) bytes = NULL;
    else request->plan = (struct blob){bytes, (uint32_t)info.st_size};
  }
  if (fd >= 0) close(fd);
  return bytes;
}

static struct process *new_exec(const struct exec_request *request) {
  struct process *process = calloc(1, sizeof *process);
  if (!process) return NULL;
  strcpy(process->id, request->id);
  process->terminal = request->terminal;
  process->stdin_once = request->stdin_once;
  process->pidfd = process->status.fd = process->input.fd = process->out.source.fd = process->err.source.fd = process->terminal_peer = -1;
  process->next = shim.execs;
  shim.execs = process;
  return process;
}

static int spawn_exec_process(struct process *process, const struct exec_request *request, const struct exec_plan *plan, struct failure *failure) {
  int child[3];
  int error = open_streams(process, &shim.owner, request->in, request->attach, child);
  process->spawn = (struct spawn){
      .exec_plan = plan,
      .init_pidfd = shim.init.pidfd,
      .start_fifo = -1,
      .stdio = {child[0], child[1], child[2]},
      .width = request->width,
      .height = request->height,
  };
  if (plan->exec.listener_path[0]) {
    process->listener_path = strdup(plan->exec.listener_path);
    process->listener_state = strdup(plan->exec.listener_state);
  }
  int result = error ? fail(failure, -error, "stdio", "") : spawn_exec(&process->spawn, failure);
  for (int i = 0; i < 3; i++)
    if (child[i] >= 0) close(child[i]);
  process->spawn.exec_plan = NULL;
  return result;
}

static uint32_t count_execs(void) {
  uint32_t count = 0;
  for (struct process *process = shim.execs; process; process = process->next) count++;
  return count;
}

static void start_exec(struct call *call, struct exec_request *request) {
  struct exec_plan plan;
  struct arena arena = {0};
  struct failure failure = {.section = SECTION_EXEC};
  int error = exec_plan_decode(request->plan.bytes, request->plan.length, &plan, &arena);
  if (error) return refuse(call, -error, "plan");
  struct process *process = new_exec(request);
  if (!process) {
    arena_close(&arena);
    return refuse(call, ENOMEM, "exec");
  }
  ask(process, call);
  if (request->attach) {
    int socket = message_take_fd(call->fds);
    if (socket < 0 || attach(process, socket, request->attach_in, request->attach_out, request->attach_err)) fail(&failure, EPROTO, "attach", "");
  }
  if (!failure.error && request->adoption.pid_file) begin_adoption(process, &request->adoption, &failure);
  if (failure.error || spawn_exec_process(process, request, &plan, &failure)) {
    reply_failure(call->connection, call->serial, &failure);
    free_exec(process);
  } else watch_status(process);
  arena_close(&arena);
}

static void request_exec(struct call *call, bool adopts) {
  struct exec_request request;
  if (!decode_exec_request(&call->reader, &request, adopts)) return refuse(call, EPROTO, "exec");
  if (shim.init.state != PROCESS_RUNNING && shim.init.state != PROCESS_CREATED) return refuse(call, ESRCH, "exec");
  if (find_process(request.id)) return refuse(call, EEXIST, "exec");
  if (count_execs() >= EXECS_MAX) return refuse(call, EAGAIN, "exec");
  void *mapped = request.plan_in_fd ? map_exec_plan(call, &request) : NULL;
  start_exec(call, &request);
  if (mapped) munmap(mapped, request.plan.length);
}

/* ---- status, release ---- */

static void request_status(struct call *call) {
  uint8_t bytes[REPLY_SIZE];
  struct writer writer = start_reply(bytes, REPLY_STATUS, call->serial);
  struct process *init = &shim.init;
  /* Until its output is complete and its record written it has not ended for anybody. */
  bool exited = shim.finished;
  write_u32(&writer, SHIM_VERSION);
  write_u8(&writer, exited ? PROCESS_EXITED : init->state == PROCESS_EXITED ? PROCESS_RUNNING : init->state);
  write_u32(&writer, (uint32_t)init->pid);
  write_u64(&writer, init->started_at);
  write_u8(&writer, init->terminal);
  write_exit(&writer, init);
  uint32_t count = 0;
  for (struct process *process = shim.execs; process && count < 64; process = process->next) count++;
  write_u32(&writer, count);
  for (struct process *process = shim.execs; process && count; process = process->next, count--) {
    write_string(&writer, process->id);
    write_u8(&writer, (uint8_t)process->state);
    write_u32(&writer, (uint32_t)process->pid);
    write_u8(&writer, process->terminal);
    write_exit(&writer, process);
    process->told = process->state == PROCESS_EXITED;
  }
  send_reply(call->connection, &writer);
}

static void request_release(struct call *call) {
  if (!shim.finished) return refuse(call, EBUSY, "release");
  remove_folder(true);
  reply_ok(call->connection, call->serial);
  shim.release = true;
}

static void handle(struct call *call, uint8_t type) {
  switch (type) {
  case REQUEST_START:
    return request_start(call);
  case REQUEST_SIGNAL:
    return request_signal(call);
  case REQUEST_ATTACH:
    return request_attach(call);
  case REQUEST_RESIZE:
    return request_resize(call);
  case REQUEST_EXEC:
    return request_exec(call, false);
  case REQUEST_ADOPT_EXEC:
    return request_exec(call, true);
  case REQUEST_STATUS:
    return request_status(call);
  case REQUEST_RELEASE:
    return request_release(call);
  case REQUEST_LOG:
    return request_log(call);
  default:
    refuse(call, EPROTO, "request");
  }
}

/* ---- connections ---- */

bool connected(void) {
  for (int i = 0; i < CONNECTIONS_MAX; i++)
    if (shim.connections[i].source.fd >= 0) return true;
  return false;
}

void connection_close(struct connection *connection) {
  source_close(&connection->source);
  if (shim.init.asker == connection) shim.init.asker = NULL;
  for (struct process *process = shim.execs; process; process = process->next)
    if (process->asker == connection) process->asker = NULL;
}

static void connection_ready(struct source *source, uint32_t events) {
  struct connection *connection = (struct connection *)source;
  struct message_fds fds;
  (void)events;
  void *bytes = mmap(NULL, REQUEST_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) return;
  ssize_t length = message_receive(source->fd, bytes, REQUEST_MAX, &fds, MSG_DONTWAIT);
  if (length > 0) {
    struct call call = {.connection = connection, .reader = reader_of(bytes, (size_t)length), .fds = &fds};
    uint8_t type = read_u8(&call.reader);
    call.serial = read_u32(&call.reader);
    if (call.reader.bad) connection_close(connection);
    else handle(&call, type);
    message_close_fds(&fds);
  } else if (length != -EAGAIN) connection_close(connection);
  munmap(bytes, REQUEST_MAX);
}

void connection_open(int socket) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    struct connection *connection = &shim.connections[i];
    if (connection->source.fd >= 0 && connection->source.fd != socket) continue;
    int room = SEND_BYTES;
    if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room)) setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    connection->source = (struct source){.fd = socket, .ready = connection_ready};
    watch(&connection->source, EPOLLIN);
    return;
  }
  close(socket);
}
