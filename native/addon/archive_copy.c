/* Copies a tree by fd: owners, modes, times, extended attributes, hard links, devices and holes. */
#define _GNU_SOURCE
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Files with several names: inode to an O_PATH fd would cost fds, so the first copy is found again by its path. */
struct seen_file {
  ino_t inode;
  char *path;
};

struct copy {
  int to;
  struct seen_file *seen;
  size_t seen_count, seen_room;
};

static int copy_xattrs(int from, int to) {
  char source[32], target[32], names[65536];
  snprintf(source, sizeof source, "/proc/self/fd/%d", from);
  snprintf(target, sizeof target, "/proc/self/fd/%d", to);
  ssize_t size = listxattr(source, names, sizeof names);
  if (size < 0) return errno == ENOTSUP ? 0 : -1;
  for (char *name = names; name < names + size; name += strlen(name) + 1) {
    char value[XATTR_SIZE_MAX];
    ssize_t length = getxattr(source, name, value, sizeof value);
    if (length < 0) continue;
    if (setxattr(target, name, value, (size_t)length, 0) && errno != ENOTSUP && errno != EPERM) return -1;
  }
  return 0;
}

static int copy_looks(int from, int to, const struct stat *st) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", to);
  if (fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH)) return -1;
  if (!S_ISLNK(st->st_mode) && chmod(path, st->st_mode & 07777)) return -1;
  if (copy_xattrs(from, to)) return -1;
  struct timespec times[2] = {st->st_atim, st->st_mtim};
  return utimensat(to, "", times, AT_EMPTY_PATH);
}

/* One run of data. copy_file_range(2) works within one file system only: from an overlay to what it lies on, sendfile(2) does. */
static int copy_range(int from, int to, off_t at, off_t end) {
  bool across = false;
  for (off_t in = at, out = at; in < end;) {
    ssize_t copied = across ? sendfile(to, from, &in, (size_t)(end - in)) : copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
    if (copied == 0) break;
    if (copied > 0) continue;
    if (across || (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP)) return -1;
    across = true;
    if (lseek(to, in, SEEK_SET) < 0) return -1;
  }
  return 0;
}

static int copy_data(int from, int to, off_t size) {
  if (!ioctl(to, FICLONE, from)) return 0;
  for (off_t at = 0; at < size;) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0) break;
    off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0) hole = size;
    if (copy_range(from, to, data, hole)) return -1;
    at = hole;
  }
  return ftruncate(to, size);
}

static int remember(struct copy *c, ino_t inode, const char *path) {
  if (c->seen_count == c->seen_room) {
    size_t room = c->seen_room ? c->seen_room * 2 : 64;
    struct seen_file *grown = realloc(c->seen, room * sizeof *grown);
    if (!grown) return -1;
    c->seen = grown;
    c->seen_room = room;
  }
  char *copy = strdup(path);
  if (!copy) return -1;
  c->seen[c->seen_count++] = (struct seen_file){inode, copy};
  return 0;
}

/* 1 when it was linked to an earlier copy. */
static int link_earlier(struct copy *c, ino_t inode, int to, const char *name) {
  for (size_t i = 0; i < c->seen_count; i++) {
    if (c->seen[i].inode != inode) continue;
    int fd = open_in_root(c->to, c->seen[i].path, O_PATH | O_NOFOLLOW);
    if (fd < 0) return -1;
    int result = linkat(fd, "", to, name, AT_EMPTY_PATH);
    close(fd);
    return result ? -1 : 1;
  }
  return 0;
}

static int copy_dir(struct copy *c, int from, int to, const char *path, int depth);

static int copy_regular(int from, int to, const char *name, const struct stat *st) {
  int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out = -1, result = -1;
  if (in >= 0) out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (out >= 0) result = copy_data(in, out, st->st_size) || copy_looks(in, out, st) ? -1 : 0;
  int saved = errno;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  errno = saved;
  return result;
}

static int copy_node(int from, int to, const char *name, const struct stat *st) {
  if (S_ISLNK(st->st_mode)) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(from, name, target, sizeof target - 1);
    if (size < 0) return -1;
    target[size] = 0;
    if (symlinkat(target, to, name)) return -1;
  } else if (mknodat(to, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev)) {
    return -1;
  }
  int in = openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), out = openat(to, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int result = in < 0 || out < 0 ? -1 : copy_looks(in, out, st);
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return result;
}

static int copy_child(struct copy *c, int from, int to, const char *path, const char *name, int depth) {
  struct stat st;
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
  char *child;
  if (asprintf(&child, *path ? "%s/%s" : "%s%s", path, name) < 0) return -1;
  int result = -1;
  if (S_ISDIR(st.st_mode)) {
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), out = -1;
    if (in >= 0 && !mkdirat(to, name, 0700)) out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out >= 0) result = copy_dir(c, in, out, child, depth + 1);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
  } else {
    int linked = st.st_nlink > 1 ? link_earlier(c, st.st_ino, to, name) : 0;
    if (linked > 0) result = 0;
    else if (linked == 0) result = S_ISREG(st.st_mode) ? copy_regular(from, to, name, &st) : S_ISSOCK(st.st_mode) ? 0 : copy_node(from, to, name, &st);
    if (!result && !linked && st.st_nlink > 1) result = remember(c, st.st_ino, child);
  }
  free(child);
  return result;
}

static int copy_dir(struct copy *c, int from, int to, const char *path, int depth) {
  if (depth > 400) {
    errno = ELOOP;
    return -1;
  }
  int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = again < 0 ? NULL : fdopendir(again);
  if (!dir) {
    if (again >= 0) close(again);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(dir));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) result = copy_child(c, from, to, path, entry->d_name, depth);
  int saved = errno;
  closedir(dir);
  errno = saved;
  struct stat st;
  return result || fstat(from, &st) ? -1 : copy_looks(from, to, &st);
}

int tree_copy(int from, int to) {
  struct copy c = {.to = to};
  int result = copy_dir(&c, from, to, "", 0), saved = errno;
  for (size_t i = 0; i < c.seen_count; i++) free(c.seen[i].path);
  free(c.seen);
  errno = saved;
  return result;
}
