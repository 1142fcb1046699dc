#define _GNU_SOURCE
#include "executor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The state with the pid in its place, in a memfd: a pipe could fill up before the hook reads. */
static int state_file(const char *state, int pid) {
  int fd = memfd_create("state", MFD_CLOEXEC);
  if (fd < 0) return -1;
  const char *place = pid ? strstr(state, "\"pid\":0") : NULL;
  int error;
  if (place) error = dprintf(fd, "%.*s\"pid\":%d%s", (int)(place - state), state, pid, place + strlen("\"pid\":0")) < 0;
  else error = dprintf(fd, "%s", state) < 0;
  if (error || lseek(fd, 0, SEEK_SET) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static void exec_hook(int state, const struct op *op, int cwd, char **env) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  dup2(state, 0);
  close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  if (cwd >= 0 && fchdir(cwd)) _exit(127);
  execve(op->path, (char *const *)op->list.items, op->inherit_env && env ? env : (char *const *)op->env.items);
  dprintf(2, "%s: %s\n", op->path, strerror(errno));
  _exit(127);
}

static int wait_hook(struct failure *failure, const struct op *op, pid_t pid) {
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};
  int timeout = op->timeout ? (int)(op->timeout > 86400 ? 86400 : op->timeout) * 1000 : -1;
  int got;
  while ((got = poll(&ended, 1, timeout)) < 0 && errno == EINTR);
  if (got == 0) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
  if (pidfd >= 0) close(pidfd);
  if (got == 0) return fail(failure, ETIMEDOUT, "hook", op->path);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  char how[512];
  if (WIFEXITED(status)) snprintf(how, sizeof how, "%.460s: exit status %d", op->path, WEXITSTATUS(status));
  else {
    const char *name = sigdescr_np(WTERMSIG(status));
    snprintf(how, sizeof how, "%.460s: signal: %s", op->path, name ? name : "unknown");
    char *word = strstr(how, ": signal: ") + strlen(": signal: ");
    *word = (char)tolower((unsigned char)*word);
  }
  return fail(failure, ECHILD, "hook", how);
}

static int run(struct failure *failure, const struct op *op, int pid, int cwd, char **env) {
  int state = state_file(op->data, pid);
  if (state < 0) return fail_errno(failure, "hook", op->path);
  pid_t child = fork();
  if (child == 0) exec_hook(state, op, cwd, env);
  close(state);
  if (child < 0) return fail_errno(failure, "hook", op->path);
  return wait_hook(failure, op, child);
}

int run_hook(struct failure *failure, const struct op *op, int pid) { return run(failure, op, pid, -1, NULL); }

int run_hook_in(struct failure *failure, const struct op *op, int cwd, char **env) { return run(failure, op, 0, cwd, env); }
