#define _GNU_SOURCE
#include "adoption.h"
#include "files.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The latest of them are remembered. */
#define ORPHANS_MAX 256

static struct adoption *adoption_of(struct source *console) { return (struct adoption *)((char *)console - offsetof(struct adoption, console)); }

/* ---- the terminal ---- */

static void terminal_ready(struct source *source, uint32_t events) {
  struct adoption *a = adoption_of(source);
  struct message_fds fds;
  char bytes[4096];
  (void)events;
  ssize_t length = message_receive(source->fd, bytes, sizeof bytes, &fds, MSG_DONTWAIT);
  if (length == -EAGAIN) return;
  int master = length > 0 ? message_take_fd(&fds) : -1;
  if (length > 0) message_close_fds(&fds);
  source_close(source);
  if (master < 0 || a->process->out.source.fd >= 0) {
    if (master >= 0) close(master);
    return;
  }
  struct winsize size = {.ws_col = (unsigned short)a->width, .ws_row = (unsigned short)a->height};
  if (a->width || a->height) ioctl(master, TIOCSWINSZ, &size);
  set_terminal(a->process, master);
}

static void console_ready(struct source *source, uint32_t events) {
  (void)events;
  int socket = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return;
  source_close(source);
  *source = (struct source){.fd = socket, .ready = terminal_ready};
  watch(source, EPOLLIN);
}

/* A stream socket, as OCI runtimes expect. */
static int listen_for_terminal(struct source *console, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  mode_t before = umask(0177);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1) ? -errno : 0;
  umask(before);
  *console = (struct source){.fd = fd, .ready = console_ready};
  if (error) source_close(console);
  else watch(console, EPOLLIN);
  return error;
}

/* What the command said before it ended. */
static void take_terminal(struct adoption *a) {
  if (a->console.ready == console_ready && a->console.fd >= 0) console_ready(&a->console, 0);
  if (a->console.ready == terminal_ready && a->console.fd >= 0) terminal_ready(&a->console, 0);
}

/* ---- the process ---- */

int begin_adoption(struct process *process, const struct adoption_request *request, struct failure *failure) {
  struct adoption *a = malloc(sizeof *a);
  if (!a) return fail(failure, ENOMEM, "adopt", request->pid_file);
  *a = (struct adoption){.process = process, .console.fd = -1, .width = request->width, .height = request->height, .wait = request->wait};
  process->adoption = a;
  a->pid_file = strdup(request->pid_file);
  a->console_path = strdup(request->console);
  if (!a->pid_file || !a->console_path) return fail(failure, ENOMEM, "adopt", request->pid_file);
  int error = request->console[0] ? listen_for_terminal(&a->console, request->console) : 0;
  return error ? fail(failure, -error, "console", request->console) : 0;
}

static void remove_files(struct adoption *a) {
  source_close(&a->console);
  if (a->pid_file) unlink(a->pid_file);
  if (a->console_path && a->console_path[0]) unlink(a->console_path);
}

void end_adoption(struct process *process) {
  struct adoption *a = process->adoption;
  if (!a) return;
  remove_files(a);
  free(a->pid_file);
  free(a->console_path);
  free(a);
  process->adoption = NULL;
}

bool is_command(const struct process *process) { return process->adoption && !process->adoption->done; }

static pid_t read_pid(const struct adoption *a) {
  char text[32];
  ssize_t length = read_file(a->pid_file, text, sizeof text);
  return length > 0 ? atoi(text) : 0;
}

static struct {
  pid_t pid;
  int status;
} orphans[ORPHANS_MAX];
static unsigned orphan_count;

void remember_orphan(pid_t pid, int status) {
  orphans[orphan_count % ORPHANS_MAX].pid = pid;
  orphans[orphan_count++ % ORPHANS_MAX].status = status;
}

static bool find_orphan(pid_t pid, int *status) {
  for (unsigned i = 0; i < ORPHANS_MAX && i < orphan_count; i++) {
    unsigned at = (orphan_count - 1 - i) % ORPHANS_MAX;
    if (orphans[at].pid != pid) continue;
    *status = orphans[at].status;
    return true;
  }
  return false;
}

/* Of another's child the end would never be told. */
static bool is_our_child(pid_t pid) {
  siginfo_t info;
  return !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
}

int adopt(struct process *process, struct failure *failure) {
  struct adoption *a = process->adoption;
  pid_t pid = read_pid(a);
  if (pid <= 0) return fail(failure, ENOENT, "pidFile", a->pid_file);
  if (!is_our_child(pid) && !(a->ended = find_orphan(pid, &a->status))) return fail(failure, ECHILD, "adopt", a->pid_file);
  take_terminal(a);
  if (process->terminal && process->out.source.fd < 0) {
    /* Nobody else knows it. */
    if (!a->ended) kill(pid, SIGKILL);
    return fail(failure, ENOTTY, "console", a->console_path);
  }
  remove_files(a);
  if (process->pidfd >= 0) close(process->pidfd);
  process->pidfd = -1;
  process->pid = pid;
  process->reaped = false;
  a->done = true;
  return 0;
}

