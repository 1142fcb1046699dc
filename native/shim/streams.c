#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_SIZE (1 << 20)
#define READ_SIZE (1 << 20)
/* Only output that was in a pipe when its process ended can add up to this. */
#define PENDING_MAX (4u << 20)
#define INPUT_SIZE 65536
#define READS_PER_TURN 4

/* What is read; one for all streams, there while output comes. */
static char *read_buffer;

static bool have_buffer(void) {
  if (read_buffer) return true;
  void *buffer = mmap(NULL, READ_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (buffer != MAP_FAILED) read_buffer = buffer;
  return read_buffer;
}

void rest_streams(void) {
  if (read_buffer) munmap(read_buffer, READ_SIZE);
  read_buffer = NULL;
}

bool streams_rested(void) { return !read_buffer; }

/* ---- attachments ---- */

bool has_pending(const struct process *process) {
  for (struct attachment *a = process->attachments; a; a = a->next)
    if (a->pending) return true;
  return false;
}

/* No attachment is behind. */
static bool output_flows(const struct process *process) { return !has_pending(process); }

static void watch_output(struct process *process) {
  uint32_t events = process->state == PROCESS_EXITED || output_flows(process) ? EPOLLIN : 0;
  watch(&process->out.source, events);
  watch(&process->err.source, events);
}

static uint32_t attachment_events(const struct attachment *a) {
  bool read = !a->input_ended && !a->process->input_pending;
  return (read ? EPOLLIN | EPOLLRDHUP : 0) | (a->pending ? EPOLLOUT : 0);
}

/* EPOLLHUP is always told; a socket whose other end is gone must therefore leave the loop. */
static void watch_attachment(struct attachment *a) {
  uint32_t events = attachment_events(a);
  /* Only to hear that the peer is gone. */
  watch(&a->source, events ? events : EPOLLPRI);
}

static void close_input(struct process *process) {
  if (process->terminal_peer >= 0) close(process->terminal_peer);
  process->terminal_peer = -1;
  source_close(&process->input);
  free(process->input_pending);
  process->input_pending = NULL;
  process->input_length = process->input_at = 0;
  process->input_closing = false;
}

static void end_input(struct attachment *a) {
  struct process *process = a->process;
  if (a->input_ended) return;
  a->input_ended = true;
  /* The end of input means nothing to a terminal. */
  if (!a->in || !process->stdin_once || process->terminal) return;
  if (process->input_pending) process->input_closing = true;
  else close_input(process);
}

static void detach(struct attachment *a) {
  struct process *process = a->process;
  end_input(a);
  source_close(&a->source);
  free(a->pending);
  for (struct attachment **at = &process->attachments; *at; at = &(*at)->next)
    if (*at == a) {
      *at = a->next;
      break;
    }
  free(a);
  watch_output(process);
}

/* Sends what waits; false when the attachment is gone. */
static bool flush_pending(struct attachment *a) {
  while (a->pending_at < a->pending_length) {
    ssize_t sent = send(a->source.fd, a->pending + a->pending_at, a->pending_length - a->pending_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return true;
    if (sent < 0) {
      detach(a);
      return false;
    }
    a->pending_at += (size_t)sent;
  }
  free(a->pending);
  a->pending = NULL;
  a->pending_at = a->pending_length = 0;
  if (a->process->state == PROCESS_EXITED && !streams_open(a->process)) {
    detach(a);
    return false;
  }
  watch_output(a->process);
  return true;
}

static bool keep_pending(struct attachment *a, const struct iovec *parts, size_t skip) {
  size_t more = parts[0].iov_len + parts[1].iov_len - skip, held = a->pending_length - a->pending_at;
  if (held + more > PENDING_MAX) return false;
  uint8_t *grown = malloc(held + more);
  if (!grown) return false;
  if (held) memcpy(grown, a->pending + a->pending_at, held);
  size_t used = held;
  for (int i = 0; i < 2; i++) {
    size_t skipped = skip < parts[i].iov_len ? skip : parts[i].iov_len;
    memcpy(grown + used, (const uint8_t *)parts[i].iov_base + skipped, parts[i].iov_len - skipped);
    used += parts[i].iov_len - skipped;
    skip -= skipped;
  }
  free(a->pending);
  a->pending = grown;
  a->pending_at = 0;
  a->pending_length = used;
  return true;
}

/* Docker's framing without a terminal: stream, three zeros, length big-endian. */
static void deliver(struct attachment *a, uint8_t kind, const char *bytes, size_t length) {
  uint8_t header[8] = {kind, 0, 0, 0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
  struct iovec parts[2] = {{header, a->process->terminal ? 0 : sizeof header}, {(void *)bytes, length}};
  size_t sent = 0;
  if (!a->pending) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t got;
    while ((got = sendmsg(a->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR);
    if (got < 0 && errno != EAGAIN) {
      detach(a);
      return;
    }
    sent = got < 0 ? 0 : (size_t)got;
  }
  if (sent == parts[0].iov_len + length) return;
  if (!keep_pending(a, parts, sent)) {
    detach(a);
    return;
  }
  watch_attachment(a);
}

static void deliver_all(struct process *process, uint8_t kind, const char *bytes, size_t length) {
  for (struct attachment *a = process->attachments, *next; a; a = next) {
    next = a->next;
    if (kind == 1 ? a->out : a->err) deliver(a, kind, bytes, length);
  }
}

/* ---- input ---- */

static void watch_inputs(struct process *process) {
  for (struct attachment *a = process->attachments; a; a = a->next) watch_attachment(a);
  watch(&process->input, process->input_pending ? EPOLLOUT : 0);
}

/* Writes to the process's stdin what it takes; the rest waits. */
static void write_input(struct process *process, const uint8_t *bytes, size_t length) {
  size_t done = 0;
  while (process->input.fd >= 0 && done < length) {
    ssize_t written = write(process->input.fd, bytes + done, length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) break;
    if (written < 0) {
      close_input(process);
      return;
    }
    done += (size_t)written;
  }
  if (process->input.fd < 0 || done == length) return;
  process->input_pending = malloc(length - done);
  if (!process->input_pending) {
    close_input(process);
    return;
  }
  memcpy(process->input_pending, bytes + done, length - done);
  process->input_at = 0;
  process->input_length = length - done;
  watch_inputs(process);
}

static void input_ready(struct source *source, uint32_t events) {
  struct process *process = (struct process *)((char *)source - offsetof(struct process, input));
  ssize_t written = -1;
  if (!(events & EPOLLERR)) written = write(source->fd, process->input_pending + process->input_at, process->input_length - process->input_at);
  else errno = EPIPE;
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (written < 0) close_input(process);
  else if ((process->input_at += (size_t)written) < process->input_length) return;
  free(process->input_pending);
  process->input_pending = NULL;
  if (process->input_closing) close_input(process);
  watch_inputs(process);
}

static void read_attachment(struct attachment *a) {
  uint8_t bytes[INPUT_SIZE];
  ssize_t got = recv(a->source.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) detach(a);
  else if (got == 0) {
    end_input(a);
    watch_attachment(a);
  } else if (a->in) write_input(a->process, bytes, (size_t)got);
}

static void attachment_ready(struct source *source, uint32_t events) {
  struct attachment *a = (struct attachment *)source;
  if (events & EPOLLOUT && !flush_pending(a)) return;
  /* Input that came before the peer closed still counts. */
  if (events & EPOLLIN && !a->input_ended && !a->process->input_pending) {
    read_attachment(a);
    return;
  }
  if (events & (EPOLLHUP | EPOLLERR)) {
    if (!a->process->input_pending || a->input_ended) detach(a);
    /* Its input waits in the socket until the process takes what came before. */
    else watch(&a->source, 0);
    return;
  }
  watch_attachment(a);
}

int attach(struct process *process, int socket, bool in, bool out, bool err) {
  struct attachment *a = calloc(1, sizeof *a);
  if (!a) return -ENOMEM;
  *a = (struct attachment){.source = {.fd = socket, .ready = attachment_ready}, .process = process, .in = in, .out = out, .err = err};
  /* At the end: everybody gets output in the order of attaching. */
  struct attachment **at = &process->attachments;
  while (*at) at = &(*at)->next;
  *at = a;
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  watch_attachment(a);
  return 0;
}

/* ---- output ---- */

static void end_stream(struct stream *stream) {
  source_close(&stream->source);
  if (stream->process->log) logfile_end_stream(stream->process->log, &stream->log);
}

/* One read; false when there is nothing more for now. */
static bool read_stream(struct stream *stream) {
  if (!have_buffer()) return false;
  ssize_t got = read(stream->source.fd, read_buffer, READ_SIZE);
  if (got < 0 && errno == EINTR) return true;
  if (got < 0 && errno == EAGAIN) return false;
  /* EIO: the last process let the terminal go. */
  if (got <= 0) {
    end_stream(stream);
    return false;
  }
  if (stream->process->log) logfile_append(stream->process->log, &stream->log, read_buffer, (size_t)got);
  deliver_all(stream->process, stream->kind, read_buffer, (size_t)got);
  return true;
}

static void stream_ready(struct source *source, uint32_t events) {
  struct stream *stream = (struct stream *)source;
  (void)events;
  for (int i = 0; i < READS_PER_TURN && source->fd >= 0 && read_stream(stream); i++)
    if (!output_flows(stream->process)) break;
  watch_output(stream->process);
}

void drain_streams(struct process *process) {
  struct stream *both[] = {&process->out, &process->err};
  for (int i = 0; i < 2; i++)
    for (int reads = 0; reads < 64 && both[i]->source.fd >= 0 && read_stream(both[i]); reads++);
}

bool streams_open(const struct process *process) { return process->out.source.fd >= 0 || process->err.source.fd >= 0; }

void end_streams(struct process *process) {
  if (process->out.source.fd >= 0) end_stream(&process->out);
  if (process->err.source.fd >= 0) end_stream(&process->err);
  close_input(process);
  for (struct attachment *a = process->attachments, *next; a; a = next) {
    next = a->next;
    if (a->pending) watch_attachment(a);
    else detach(a);
  }
}

void close_streams(struct process *process) {
  while (process->attachments) detach(process->attachments);
  if (process->out.source.fd >= 0) end_stream(&process->out);
  if (process->err.source.fd >= 0) end_stream(&process->err);
  close_input(process);
}

/* ---- making them ---- */

static void set_stream(struct process *process, struct stream *stream, int fd, uint8_t kind) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  stream->source = (struct source){.fd = fd, .ready = stream_ready};
  stream->process = process;
  stream->kind = kind;
  stream->log.name = kind == 1 ? "stdout" : "stderr";
  watch(&stream->source, EPOLLIN);
}

static int open_output(struct process *process, struct stream *stream, uint8_t kind, int *child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  /* More than the unprivileged limit is refused where CAP_SYS_RESOURCE is missing: the default size will do. */
  fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE);
  set_stream(process, stream, ends[0], kind);
  *child = ends[1];
  return 0;
}

static int open_input(struct process *process, int *child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  fcntl(ends[1], F_SETFL, O_WRONLY | O_NONBLOCK);
  process->input.fd = ends[1];
  *child = ends[0];
  return 0;
}

/* The root of a user namespace can pass on only what belongs to it. */
static int own_pipes(const struct owner *owner, const int child[3]) {
  for (int i = 0; i < 3 && (owner->uid || owner->gid); i++)
    if (child[i] >= 0 && fchown(child[i], owner->uid, owner->gid)) return -errno;
  return 0;
}

int open_streams(struct process *process, const struct owner *owner, bool in, bool out, int child[3]) {
  process->input = (struct source){.fd = -1, .ready = input_ready};
  process->out.source.fd = process->err.source.fd = process->terminal_peer = -1;
  child[0] = child[1] = child[2] = -1;
  if (process->terminal) return 0;
  int error = in ? open_input(process, &child[0]) : 0;
  if (!error && out) error = open_output(process, &process->out, 1, &child[1]);
  if (!error && out) error = open_output(process, &process->err, 2, &child[2]);
  return error ? error : own_pipes(owner, child);
}

void set_terminal(struct process *process, int master) {
  set_stream(process, &process->out, master, 1);
  process->input.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
  process->terminal_peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}
