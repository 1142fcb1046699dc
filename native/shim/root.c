#define _GNU_SOURCE
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 120

static int open_below(int root, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
  for (int tries = 0; tries < 64; tries++) {
    int fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
    if (fd >= 0) return fd;
    /* A rename somewhere made ".." ambiguous: openat2(2) says to try again. */
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
  return -EAGAIN;
}

int root_open(int root, const char *path, int flags) { return open_below(root, path, flags, 0); }

/* Splits off the last component; 0, or -errno when there is none or it does not fit. */
static int split(const char *path, char *parent, char *name, size_t size) {
  size_t end = strlen(path);
  while (end > 0 && path[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/') start--;
  if (start == end) return -EISDIR;
  if (end - start >= size || start >= PATH_MAX) return -ENAMETOOLONG;
  memcpy(name, path + start, end - start);
  name[end - start] = 0;
  memcpy(parent, path, start);
  parent[start] = 0;
  return 0;
}

static int make(int root, const char *path, enum create create, mode_t mode, int links);

/* The target of the dangling link `name` in the directory `parent_path`, as a path below the root. */
static int follow(int parent, const char *parent_path, const char *name, char *target) {
  char link[PATH_MAX];
  ssize_t length = readlinkat(parent, name, link, sizeof link - 1);
  if (length < 0) return -errno;
  link[length] = 0;
  size_t before = link[0] == '/' ? 0 : strlen(parent_path);
  if (before + 1 + (size_t)length >= PATH_MAX) return -ENAMETOOLONG;
  memcpy(target, parent_path, before);
  target[before] = '/';
  memcpy(target + before + 1, link, (size_t)length + 1);
  return 0;
}

static int make_in(int root, int parent, const char *parent_path, const char *path, const char *name, enum create create, mode_t mode, int links) {
  int made = create == CREATE_DIR ? mkdirat(parent, name, mode) : mknodat(parent, name, S_IFREG | mode, 0);
  if (made < 0 && errno != EEXIST) return -errno;
  int fd = root_open(root, path, O_PATH);
  if (fd != -ENOENT) return fd;
  char target[PATH_MAX];
  int error = follow(parent, parent_path, name, target);
  return error ? error : make(root, target, create, mode, links + 1);
}

static int make(int root, const char *path, enum create create, mode_t mode, int links) {
  int fd = root_open(root, path, O_PATH);
  if (fd != -ENOENT || create == CREATE_NONE) return fd;
  if (links > LINKS_MAX) return -ELOOP;
  char parent_path[PATH_MAX], name[NAME_MAX + 1];
  int error = split(path, parent_path, name, sizeof name);
  if (error) return error;
  int parent = make(root, parent_path, CREATE_DIR, 0755, links + 1);
  if (parent < 0) return parent;
  fd = make_in(root, parent, parent_path, path, name, create, mode, links);
  close(parent);
  return fd;
}

int root_make(int root, const char *path, enum create create, mode_t mode) { return make(root, path, create, mode, 0); }

int root_plain_directory(int root, const char *path) {
  int fd = open_below(root, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (fd != -ENOENT) return fd;
  int made = root_make(root, path, CREATE_DIR, 0755);
  if (made < 0) return made;
  close(made);
  return open_below(root, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
}

int root_parent(int root, const char *path, char *name, size_t size) {
  char parent[PATH_MAX];
  int error = split(path, parent, name, size);
  return error ? error : make(root, parent, CREATE_DIR, 0755, 0);
}
