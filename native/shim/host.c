#define _GNU_SOURCE
#include "host.h"
#include "executor.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char *const cpuset_files[] = {"cpuset.cpus", "cpuset.mems"};

static int parent_of(const char *path, char *parent) {
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path || slash - path >= PATH_MAX) return -ENOENT;
  memcpy(parent, path, (size_t)(slash - path));
  parent[slash - path] = 0;
  return 0;
}

/* A v1 cpuset group must have cpus and mems before a process can join: the parent's, which may be empty as well. */
static int copy_cpuset(const char *path, const char *file) {
  char name[PATH_MAX], parent[PATH_MAX], value[4096];
  if ((size_t)snprintf(name, sizeof name, "%s/%s", path, file) >= sizeof name) return -ENAMETOOLONG;
  ssize_t length = read_file(name, value, sizeof value);
  if (length < 0) return (int)length;
  if (value[0] && value[0] != '\n') return 0;
  int error = parent_of(path, parent);
  if (error || (error = copy_cpuset(parent, file))) return error;
  char from[PATH_MAX];
  if ((size_t)snprintf(from, sizeof from, "%s/%s", parent, file) >= sizeof from) return -ENAMETOOLONG;
  length = read_file(from, value, sizeof value);
  return length < 0 ? (int)length : write_file(name, value);
}

static int make_cgroup(const struct op *op) {
  int error = make_directories(op->path, 0755);
  for (size_t i = 0; !error && op->copy_cpuset && i < 2; i++) error = copy_cpuset(op->path, cpuset_files[i]);
  return error;
}

static bool is_optional(const struct op *op, int error) {
  const char *name = strerrorname_np(error);
  for (uint32_t i = 0; name && i < op->list.count; i++)
    if (!strcmp(op->list.items[i], name)) return true;
  return false;
}

static int attach_device_program(const struct op *op) {
  int group = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (group < 0) return -errno;
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
  load.insns = (uint64_t)(uintptr_t)op->program.bytes;
  load.insn_cnt = op->program.length / 8;
  load.license = (uint64_t)(uintptr_t)"Apache";
  int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  int error = program < 0 ? -errno : 0;
  if (!error) {
    union bpf_attr attach = {.target_fd = (uint32_t)group, .attach_bpf_fd = (uint32_t)program, .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI};
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach)) error = -errno;
    close(program);
  }
  close(group);
  return error;
}

static int run_host_op(const struct op *op, struct failure *failure) {
  int error;
  switch (op->code) {
  case OP_CGROUP_MKDIR:
    error = make_cgroup(op);
    return error ? fail(failure, -error, "cgroupMkdir", op->path) : 0;
  case OP_WRITE_FILE:
    error = write_file(op->path, op->data);
    return error && !is_optional(op, -error) ? fail(failure, -error, "writeFile", op->path) : 0;
  default:
    error = attach_device_program(op);
    return error ? fail(failure, -error, "cgroupDeviceProgram", op->path) : 0;
  }
}

int run_host_ops(const struct ops *ops, struct failure *failure, struct timings *timings) {
  failure->section = SECTION_HOST;
  for (uint32_t i = 0; i < ops->count; i++) {
    failure->index = i;
    if (run_host_op(&ops->items[i], failure)) return -1;
    timings_mark(timings, SECTION_HOST, i);
  }
  return 0;
}

/* ---- joining ---- */

/*
 * A process with one thread joins a v1 group by "0" in `tasks`: the kernel then goes without the lock over all processes
 * (cgroup_procs_write_start), which after a quiet time costs a grace period of some ten milliseconds. v2 has no such file, but clone3.
 */
int open_cgroup(const char *path, int *procs, int *into) {
  char file[PATH_MAX];
  struct statfs fs;
  if ((size_t)snprintf(file, sizeof file, "%s/cgroup.procs", path) >= sizeof file) return -ENAMETOOLONG;
  snprintf(file, sizeof file, "%s/tasks", path);
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    *procs = fd;
    return 0;
  }
  snprintf(file, sizeof file, "%s/cgroup.procs", path);
  fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (*into < 0 && !fstatfs(fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC) {
    *into = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    close(fd);
    fd = -1;
    if (*into < 0) return -errno;
  }
  *procs = fd;
  return 0;
}

/* ---- removal ---- */

/* Calls `each` for every group directly below; stops never, returns the first error. */
static int each_child(const char *path, int (*each)(const char *, int), int argument) {
  DIR *dir = opendir(path);
  if (!dir) return -errno;
  int first = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char child[PATH_MAX];
    if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if ((size_t)snprintf(child, sizeof child, "%s/%s", path, entry->d_name) >= sizeof child) continue;
    int error = each(child, argument);
    if (error < 0 && !first) first = error;
  }
  closedir(dir);
  return first;
}

/* A group stays busy for a moment after its last process, or while it has groups below it. */
static int remove_cgroup(const char *path, int tries) {
  for (int i = 0;; i++) {
    if (!rmdir(path) || errno == ENOENT) return 0;
    if (errno != EBUSY && errno != ENOTEMPTY) return -errno;
    if (i == tries) return -EBUSY;
    each_child(path, remove_cgroup, 0);
    struct timespec pause = {.tv_nsec = (i < 10 ? 200 : i < 60 ? 2000 : 10000) * 1000};
    if (i) nanosleep(&pause, NULL);
  }
}

/* Some five seconds: what was killed may take long to end on a busy machine. */
#define REMOVE_TRIES 560

int run_teardown(const struct ops *ops, pid_t init) {
  int first = 0;
  for (uint32_t i = 0; i < ops->count; i++) {
    const struct op *op = &ops->items[i];
    struct failure failure = {0};
    int error = op->code == OP_HOOK ? (run_hook(&failure, op, init) ? -failure.error : 0) : remove_cgroup(op->path, REMOVE_TRIES);
    if (error && !first) first = error;
  }
  return first;
}

/* ---- processes ---- */

int kill_cgroup(const char *path, int signal) {
  char file[PATH_MAX], line[32];
  if ((size_t)snprintf(file, sizeof file, "%s/cgroup.procs", path) >= sizeof file) return -ENAMETOOLONG;
  FILE *procs = fopen(file, "re");
  if (!procs) return -errno;
  int count = 0;
  while (fgets(line, sizeof line, procs)) {
    int pid = atoi(line);
    if (pid > 0 && !kill(pid, signal)) count++;
  }
  fclose(procs);
  int below = each_child(path, kill_cgroup, signal);
  return below < 0 ? count : count + below;
}

int kill_cgroups(const struct strings *paths, int signal) {
  for (uint32_t i = 0; i < paths->count; i++) {
    int count = kill_cgroup(paths->items[i], signal);
    if (count >= 0) return count;
  }
  return 0;
}

void thaw_cgroups(const struct strings *paths) {
  char file[PATH_MAX];
  for (uint32_t i = 0; i < paths->count; i++)
    if ((size_t)snprintf(file, sizeof file, "%s/freezer.state", paths->items[i]) < sizeof file && !write_file(file, "THAWED")) return;
}

static const struct strings no_strings;

const struct op *plan_adoption(const struct plan *plan) {
  for (uint32_t i = 0; i < plan->parent.count; i++)
    if (plan->parent.items[i].code == OP_ADOPT) return &plan->parent.items[i];
  return NULL;
}

const struct strings *plan_cgroups(const struct plan *plan) {
  const struct op *adoption = plan_adoption(plan);
  if (adoption) return &adoption->list;
  for (uint32_t i = 0; i < plan->child.count; i++)
    if (plan->child.items[i].code == OP_JOIN_CGROUPS) return &plan->child.items[i].list;
  return &no_strings;
}

static bool read_counter(const char *path, const char *file, uint64_t *count) {
  char name[PATH_MAX], text[4096];
  if ((size_t)snprintf(name, sizeof name, "%s/%s", path, file) >= sizeof name || read_file(name, text, sizeof text) < 0) return false;
  const char *line = strstr(text, "oom_kill ");
  if (line) *count = strtoull(line + strlen("oom_kill "), NULL, 10);
  return line;
}

/* One group has the memory controller. */
uint64_t count_oom_kills(const struct strings *paths) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < paths->count; i++)
    if (read_counter(paths->items[i], "memory.oom_control", &count) || read_counter(paths->items[i], "memory.events", &count)) break;
  return count;
}
