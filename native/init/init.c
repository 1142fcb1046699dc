/* gantry-init PROGRAM [ARGUMENTS]: PID 1 for containers that run with --init. It starts the program, passes signals on to it, reaps
 * every orphan, and ends as the program did (128 + signal when a signal ended it). */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int exec_error(const char *program) {
  int error = errno;
  dprintf(2, "gantry-init: %s: %s\n", program, strerror(error));
  return error == ENOENT ? 127 : 126;
}

/* The program leads a session group of its own and has the terminal, so that job control works in a shell. */
static int run_program(char **argv, const sigset_t *mask) {
  setpgid(0, 0);
  /* SIGTTOU would stop us here: it is still ignored. */
  if (isatty(0)) tcsetpgrp(0, getpgrp());
  signal(SIGTTIN, SIG_DFL);
  signal(SIGTTOU, SIG_DFL);
  sigprocmask(SIG_SETMASK, mask, NULL);
  execvp(argv[0], argv);
  return exec_error(argv[0]);
}

/* Reaps what has ended; the program's exit code, or -1 while it runs. */
static int reap(pid_t program) {
  int code = -1, status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    if (pid == program) code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return code;
}

static int supervise(pid_t program, const sigset_t *signals) {
  for (;;) {
    siginfo_t info;
    int number = sigwaitinfo(signals, &info);
    if (number < 0) continue;
    if (number != SIGCHLD) {
      kill(program, number);
      continue;
    }
    int code = reap(program);
    if (code >= 0) return code;
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "--")) argv++, argc--;
  if (argc < 2) {
    dprintf(2, "usage: gantry-init PROGRAM [ARGUMENTS]\n");
    return 2;
  }
  /* Faults of our own are not the program's. */
  static const int own[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
  sigset_t signals, before;
  sigfillset(&signals);
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&signals, own[i]);
  sigprocmask(SIG_SETMASK, &signals, &before);
  signal(SIGTTIN, SIG_IGN);
  signal(SIGTTOU, SIG_IGN);
  if (getpid() != 1) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  pid_t program = fork();
  if (program < 0) {
    dprintf(2, "gantry-init: fork: %s\n", strerror(errno));
    return 1;
  }
  if (program == 0) return run_program(argv + 1, &before);
  return supervise(program, &signals);
}
