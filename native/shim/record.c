#define _GNU_SOURCE
#include "files.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void path_in_folder(char path[PATH_MAX], const char *name) { snprintf(path, PATH_MAX, "%s/%s", shim.folder, name); }

/* In one write: whoever reads it meanwhile, or after this process was killed, finds nothing or all of it. The folder lives no
 * longer than the machine, so there is nothing to flush. */
static int write_whole(const char *name, const char *text, size_t length) {
  char path[PATH_MAX];
  path_in_folder(path, name);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  ssize_t written = write(fd, text, length);
  int error = written < 0 ? -errno : (size_t)written < length ? -ENOSPC : 0;
  close(fd);
  return error;
}

/* Of a process: with it a pid that was used again is told apart. */
#define STAT_START_TIME 22

int write_task_file(pid_t init) {
  char text[16384];
  size_t used = 0;
  for (uint32_t i = 0; i < shim.teardown.count; i++) {
    if (shim.teardown.items[i].code != OP_CGROUP_REMOVE) continue;
    int added = snprintf(text + used, sizeof text - used, "cgroup %s\n", shim.teardown.items[i].path);
    if (added < 0 || (used += (size_t)added) >= sizeof text) return -E2BIG;
  }
  for (uint32_t i = 0; i < shim.cgroups.count; i++) {
    int added = snprintf(text + used, sizeof text - used, "join %s\n", shim.cgroups.items[i]);
    if (added < 0 || (used += (size_t)added) >= sizeof text) return -E2BIG;
  }
  int added = init ? snprintf(text + used, sizeof text - used, "pid %d %llu\n", init, process_stat(init, STAT_START_TIME)) : 0;
  if (added < 0 || (used += (size_t)added) >= sizeof text) return -E2BIG;
  return write_whole("task", text, used);
}

int write_exit_record(void) {
  char text[64];
  int length = snprintf(text, sizeof text, "%d %llu %d\n", shim.init.exit_code, (unsigned long long)shim.init.exited_at, shim.oom_killed);
  return write_whole("exit", text, (size_t)length);
}

void remove_folder(bool with_record) {
  static const char *const names[] = {"shim.sock", "task", "spec.json", "exit"};
  char path[PATH_MAX];
  for (size_t i = 0; i < sizeof names / sizeof *names - (with_record ? 0 : 2); i++) {
    path_in_folder(path, names[i]);
    unlink(path);
  }
  if (with_record) rmdir(shim.folder);
}
