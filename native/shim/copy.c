#define _GNU_SOURCE
#include "copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 256

static int copy_directory(int from, int to, int depth);

static int copy_bytes(int from, int to) {
  for (;;) {
    ssize_t sent = sendfile(to, from, NULL, 1 << 20);
    if (sent < 0) return -errno;
    if (sent == 0) return 0;
  }
}

static int copy_file(int from, int to, const char *name) {
  int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (source < 0) return -errno;
  int target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int error = target < 0 ? -errno : copy_bytes(source, target);
  close(source);
  if (target >= 0) close(target);
  return error;
}

static int copy_link(int from, int to, const char *name) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) return -errno;
  target[length] = 0;
  return symlinkat(target, to, name) ? -errno : 0;
}

static int copy_subdirectory(int from, int to, const char *name, int depth) {
  if (depth == DEPTH_MAX) return -ELOOP;
  if (mkdirat(to, name, 0700)) return -errno;
  int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = source < 0 || target < 0 ? -errno : copy_directory(source, target, depth + 1);
  if (source >= 0) close(source);
  if (target >= 0) close(target);
  return error;
}

static int copy_attributes(int to, const char *name, const struct stat *info) {
  struct timespec times[] = {info->st_atim, info->st_mtim};
  if (fchownat(to, name, info->st_uid, info->st_gid, AT_SYMLINK_NOFOLLOW)) return -errno;
  if (!S_ISLNK(info->st_mode) && fchmodat(to, name, info->st_mode & 07777, 0)) return -errno;
  return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int copy_entry(int from, int to, const char *name, int depth) {
  struct stat info;
  if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW)) return -errno;
  int error;
  if (S_ISDIR(info.st_mode)) error = copy_subdirectory(from, to, name, depth);
  else if (S_ISREG(info.st_mode)) error = copy_file(from, to, name);
  else if (S_ISLNK(info.st_mode)) error = copy_link(from, to, name);
  else if (S_ISSOCK(info.st_mode)) return 0;
  else error = mknodat(to, name, info.st_mode & S_IFMT, info.st_rdev) ? -errno : 0;
  return error ? error : copy_attributes(to, name, &info);
}

static int copy_directory(int from, int to, int depth) {
  int listing = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = listing < 0 ? NULL : fdopendir(listing);
  if (!dir) return -errno;
  int error = 0;
  for (struct dirent *entry; !error && (entry = readdir(dir));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) error = copy_entry(from, to, entry->d_name, depth);
  closedir(dir);
  return error;
}

int copy_tree(int from, int to) {
  struct stat info;
  int error = copy_directory(from, to, 0);
  if (error) return error;
  if (fstat(from, &info)) return -errno;
  return fchownat(to, ".", info.st_uid, info.st_gid, 0) ? -errno : 0;
}
