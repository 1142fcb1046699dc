/* What a tree changed against what lies below it: either an overlay's upper folder against its lower ones (topmost first), or
 * a whole tree against an older one that it is a copy or a snapshot of. */
#define _GNU_SOURCE
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct walk {
  const int *lowers;
  size_t count;
  bool overlay, snapshot;
  tree_change_callback report;
  void *context;
};

static bool is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == 0; }

static bool is_opaque(int dir) {
  char value[2];
  return fgetxattr(dir, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

/* How the lower folders together show path: 1 there, 0 not there. A name is looked up without following links. */
static int find_lower(const struct walk *w, const char *path, struct stat *st) {
  for (size_t i = 0; i < w->count; i++) {
    char part[4096];
    int dir = dup(w->lowers[i]);
    bool hidden = false, there = true;
    for (const char *at = path; there && dir >= 0;) {
      size_t size = strcspn(at, "/");
      memcpy(part, at, size);
      part[size] = 0;
      if (fstatat(dir, part, st, AT_SYMLINK_NOFOLLOW)) {
        there = false;
      } else if (w->overlay && is_whiteout(st)) {
        there = false;
        hidden = true;
      } else if (at[size]) {
        int next = openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(dir);
        dir = next;
        if (dir < 0) hidden = true;
        else if (w->overlay && is_opaque(dir)) hidden = true;
        at += size + 1;
      } else {
        break;
      }
    }
    if (dir >= 0) close(dir);
    if (there && dir >= 0) return 1;
    if (hidden) return 0;
  }
  return 0;
}

/* A file of a snapshot keeps inode and time of the last change until something about it changes, be it an attribute. */
static bool same(const struct walk *w, const struct stat *a, const struct stat *b) {
  if (w->snapshot && (a->st_ino != b->st_ino || a->st_ctim.tv_sec != b->st_ctim.tv_sec || a->st_ctim.tv_nsec != b->st_ctim.tv_nsec)) return false;
  if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid || a->st_rdev != b->st_rdev) return false;
  if (S_ISDIR(a->st_mode)) return true;
  return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Names that a lower folder at path has and `dir` does not: they were deleted. */
static int report_missing(const struct walk *w, int dir, const char *path) {
  for (size_t i = 0; i < w->count; i++) {
    int lower = *path ? open_in_root(w->lowers[i], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : openat(w->lowers[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0) continue;
    DIR *stream = fdopendir(lower);
    if (!stream) {
      close(lower);
      return -1;
    }
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(stream));) {
      struct stat st;
      char child[4096];
      if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
      if (snprintf(child, sizeof child, *path ? "%s/%s" : "%s%s", path, entry->d_name) >= (int)sizeof child) continue;
      /* In several lower folders: reported for the topmost only. */
      struct walk above = {.lowers = w->lowers, .count = i, .overlay = w->overlay};
      if (find_lower(&above, child, &st) || !find_lower(w, child, &st)) continue;
      result = w->report(w->context, 'D', child);
    }
    closedir(stream);
    if (result) return -1;
  }
  return 0;
}

static int walk_dir(const struct walk *w, int dir, const char *path, int depth);

static int walk_entry(const struct walk *w, int dir, const char *path, const char *name, int depth) {
  struct stat st, old;
  char child[4096];
  if (w->overlay && is_opaque_file(name)) return 0;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT ? 0 : -1;
  if (snprintf(child, sizeof child, *path ? "%s/%s" : "%s%s", path, name) >= (int)sizeof child) return 0;
  int there = find_lower(w, child, &old);
  if (w->overlay && is_whiteout(&st)) return there ? w->report(w->context, 'D', child) : 0;
  bool changed = !there || w->overlay || !same(w, &st, &old);
  if (changed && w->report(w->context, there ? 'C' : 'A', child)) return -1;
  if (!S_ISDIR(st.st_mode)) return 0;
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  int result = 0;
  if (there && S_ISDIR(old.st_mode) && (!w->overlay || is_opaque(fd))) result = report_missing(w, fd, child);
  if (!result) result = walk_dir(w, fd, child, depth + 1);
  close(fd);
  return result;
}

static int walk_dir(const struct walk *w, int dir, const char *path, int depth) {
  if (depth > 400) {
    errno = ELOOP;
    return -1;
  }
  int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = again < 0 ? NULL : fdopendir(again);
  if (!stream) {
    if (again >= 0) close(again);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(stream));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) result = walk_entry(w, dir, path, entry->d_name, depth);
  int saved = errno;
  closedir(stream);
  errno = saved;
  return result;
}

int tree_diff(int dir, const int *lowers, size_t count, enum tree_kind kind, tree_change_callback report, void *context) {
  struct walk w = {lowers, count, kind == TREE_OVERLAY, kind == TREE_SNAPSHOT, report, context};
  if (!w.overlay && count && report_missing(&w, dir, "")) return -1;
  return walk_dir(&w, dir, "", 0);
}
