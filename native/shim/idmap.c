#define _GNU_SOURCE
#include "idmap.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_proc(struct failure *failure, int pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int error = write_file(path, text);
  return error ? fail(failure, -error, "idMaps", path) : 0;
}

/* newuidmap(1) and newgidmap(1) give an ordinary user the ids that /etc/subuid and /etc/subgid allow it. */
static int ask_helper(struct failure *failure, int pid, const char *program, const char *map) {
  char number[16], *words[3 * 340 + 3], *text = strdup(map), *rest = text;
  int count = 0;
  if (!text) return fail(failure, ENOMEM, "idMaps", program);
  snprintf(number, sizeof number, "%d", pid);
  words[count++] = (char *)program;
  words[count++] = number;
  for (char *word; count < 3 * 340 + 2 && (word = strsep(&rest, " \n"));)
    if (*word) words[count++] = word;
  words[count] = NULL;
  pid_t child = fork();
  if (child == 0) {
    execvp(program, words);
    _exit(127);
  }
  free(text);
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR);
  return child > 0 && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : fail(failure, EPERM, "idMaps", program);
}

/* The kernel lets an ordinary user map its own ids alone. */
static int write_as_user(struct failure *failure, int pid, const char *name, const char *program, const char *map) {
  if (!write_proc(failure, pid, name, map)) return 0;
  return failure->error == EPERM ? ask_helper(failure, pid, program, map) : -1;
}

int write_id_maps(struct failure *failure, int pid, const struct op *op) {
  if (op->setgroups && !strcmp(op->setgroups, "deny") && write_proc(failure, pid, "setgroups", "deny")) return -1;
  if (geteuid()) return write_as_user(failure, pid, "gid_map", "newgidmap", op->gid_map) || write_as_user(failure, pid, "uid_map", "newuidmap", op->uid_map) ? -1 : 0;
  if (write_proc(failure, pid, "gid_map", op->gid_map)) return -1;
  return write_proc(failure, pid, "uid_map", op->uid_map);
}

static int apply(struct failure *failure, int mount, int pid, const struct op *op) {
  if (write_id_maps(failure, pid, op)) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0) return fail_errno(failure, "idmap", path);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)namespace};
  int error = mount_setattr(mount, "", AT_EMPTY_PATH | (op->idmap_recursive ? AT_RECURSIVE : 0), &attr, sizeof attr) ? errno : 0;
  close(namespace);
  return error ? fail(failure, error, "idmap", op->source) : 0;
}

/* A user namespace exists while a process is in it: one that only waits is made for the moment. */
int idmap_mount(struct failure *failure, int mount, const struct op *op) {
  int pid = (int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) return fail_errno(failure, "clone", "idmap");
  if (pid == 0)
    for (;;) pause();
  int error = apply(failure, mount, pid, op);
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR);
  return error;
}
