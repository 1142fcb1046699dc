#define _GNU_SOURCE
#include "restore.h"
#include "files.h"
#include "host.h"
#include "message.h"
#include "terminal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noreturn)) static void become_criu(const int *fds, uint32_t count) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGTTOU, SIG_DFL);
  for (uint32_t i = 0; i < count; i++)
    if (dup2(fds[i], 3 + (int)i) < 0) _exit(126);
  execlp("criu", "criu", "swrk", "3", NULL);
  _exit(127);
}

/* What it makes is in its groups. */
static int join_groups(const struct plan *plan, pid_t pid, struct failure *failure) {
  const struct strings *groups = plan_cgroups(plan);
  char file[PATH_MAX], text[16];
  snprintf(text, sizeof text, "%d", pid);
  for (uint32_t i = 0; i < groups->count; i++) {
    int error = (size_t)snprintf(file, sizeof file, "%s/cgroup.procs", groups->items[i]) >= sizeof file ? -ENAMETOOLONG : write_file(file, text);
    if (error) return fail(failure, -error, "cgroup", groups->items[i]);
  }
  return 0;
}

pid_t start_criu(const struct plan *plan, const int *fds, uint32_t count, struct failure *failure) {
  pid_t pid = fork();
  if (pid < 0) return fail_errno(failure, "fork", "criu");
  if (!pid) become_criu(fds, count);
  if (!join_groups(plan, pid, failure)) return pid;
  kill(pid, SIGKILL);
  return -1;
}

int finish_restore(int control, pid_t criu, bool wait) {
  uint32_t pid = 0;
  struct message_fds fds = {.count = 0};
  ssize_t length = message_receive(control, &pid, sizeof pid, &fds, 0);
  close(control);
  /* Its own socket is closed as well then, which ends it. */
  while (waitpid(criu, NULL, 0) < 0 && errno == EINTR);
  if (length != sizeof pid) return 1;
  if (!wait) return 0;
  int master = message_take_fd(&fds);
  if (master >= 0) plain_line_ends(master);
  return attend((pid_t)pid, master);
}
