#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  int error = written < 0 ? -errno : (size_t)written < length ? -EIO : 0;
  close(fd);
  return error;
}

ssize_t read_file(const char *path, char *into, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t used = 0;
  ssize_t got = 0;
  while (used < size - 1 && (got = read(fd, into + used, size - 1 - used)) > 0) used += (size_t)got;
  int error = got < 0 ? errno : 0;
  close(fd);
  into[used] = 0;
  return error ? -error : (ssize_t)used;
}

unsigned long long process_stat(pid_t pid, int field) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_file(path, text, sizeof text) < 0) return 0;
  /* The second field is a name in brackets, which may have anything in it. */
  const char *at = strrchr(text, ')');
  unsigned long long value = 0;
  for (int next = 2; at && next < field; next++) at = strchr(at + 1, ' ');
  if (at) sscanf(at, "%llu", &value);
  return value;
}

int make_directories(const char *path, mode_t mode) {
  if (!mkdir(path, mode) || errno == EEXIST) return 0;
  if (errno != ENOENT) return -errno;
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path || slash - path >= PATH_MAX) return -ENOENT;
  char parent[PATH_MAX];
  memcpy(parent, path, (size_t)(slash - path));
  parent[slash - path] = 0;
  int error = make_directories(parent, mode);
  if (error) return error;
  return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

void close_all_but(int *keep, size_t count) {
  for (size_t i = 1; i < count; i++)
    for (size_t j = i; j > 0 && keep[j - 1] > keep[j]; j--) {
      int swap = keep[j];
      keep[j] = keep[j - 1];
      keep[j - 1] = swap;
    }
  unsigned from = 3;
  for (size_t i = 0; i < count; i++) {
    if (keep[i] < (int)from) continue;
    if ((unsigned)keep[i] > from) close_range(from, (unsigned)keep[i] - 1, 0);
    from = (unsigned)keep[i] + 1;
  }
  close_range(from, ~0u, 0);
}
