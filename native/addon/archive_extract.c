/* The extractor: a tar sink that makes files below one root fd. Parents are resolved inside the root, the last component is
 * always made anew by an *at call that follows no link. Owner before mode before xattrs (chown clears the other two). */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

void extract_init(struct extractor *x, int root, unsigned flags) {
  memset(x, 0, sizeof *x);
  x->root = root;
  x->flags = flags;
  x->parent = x->file = -1;
  x->depth = 1024;
  x->retained_most = 128 << 20;
}

void extract_free(struct extractor *x) {
  extract_forget_parent(x);
  if (x->file >= 0) close(x->file);
  x->file = -1;
  for (size_t i = 0; i < x->dir_count; i++) free(x->dirs[i].path);
  free(x->dirs);
  free(x->seen);
  free(x->attributes);
  x->dirs = NULL;
  x->seen = NULL;
  x->attributes = NULL;
  x->dir_count = 0;
}

static int failed(struct extractor *x, const char *path, const char *what) {
  int number = errno;
  const char *text = what;
  if (number == EXDEV) text = "name leads outside the root";
  if (number == ESTALE) text = "parent is in a lower layer";
  if (number == E2BIG) text = "too many folders or names";
  return archive_fail(&x->error, number ? number : EIO, path, text);
}

/* Names that only overlay itself may set: they would redirect or hide what is outside this layer. */
static bool is_overlay_name(const char *name) { return !strncmp(name, "trusted.overlay.", 16) || !strncmp(name, "user.overlay.", 13); }

static int set_xattr(const struct extractor *x, const char *self, const struct tar_xattr *xattr) {
  uint8_t room[24];
  size_t mapped = strcmp(xattr->name, "security.capability") ? 0 : ids_caps_outside(&x->ids, xattr->value, xattr->size, room);
  return mapped ? setxattr(self, xattr->name, room, mapped, 0) : setxattr(self, xattr->name, xattr->value, xattr->size, 0);
}

static int set_xattrs(struct extractor *x, const char *self, const struct tar_entry *e) {
  if (!(x->flags & EXTRACT_XATTRS)) return 0;
  for (size_t i = 0; i < e->xattr_count; i++) {
    if (is_overlay_name(e->xattrs[i].name)) {
      x->counters.dropped_xattrs++;
    } else if (set_xattr(x, self, &e->xattrs[i])) {
      /* As Docker: what this file system cannot hold is left out. */
      if (errno != ENOTSUP && errno != EPERM) return -1;
      x->counters.dropped_xattrs++;
    }
  }
  return 0;
}

static int set_owner(const struct extractor *x, int fd, const struct tar_entry *e) {
  uint32_t uid, gid;
  if (!(x->flags & EXTRACT_OWNER)) return 0;
  if (ids_outside(&x->ids, ID_USER, x->flags & EXTRACT_CHOWN ? x->uid : (uint32_t)e->uid, &uid)) return -1;
  if (ids_outside(&x->ids, ID_GROUP, x->flags & EXTRACT_CHOWN ? x->gid : (uint32_t)e->gid, &gid)) return -1;
  return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

/* Of an open file: without a look-up. */
static int set_file_attributes(struct extractor *x, int fd, const struct tar_entry *e) {
  if (set_owner(x, fd, e)) return -1;
  if (fchmod(fd, e->mode)) return -1;
  if (!e->xattr_count) return 0;
  char self[32];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  return set_xattrs(x, self, e);
}

/* Of a folder, link, device or fifo, by an O_PATH fd. */
static int set_attributes(struct extractor *x, int fd, const struct tar_entry *e) {
  char self[32];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  if (set_owner(x, fd, e)) return -1;
  if (e->type != TAR_SYMLINK && chmod(self, e->mode)) return -1;
  return set_xattrs(x, self, e);
}

static struct timespec entry_time(const struct tar_entry *e) { return (struct timespec){.tv_sec = e->mtime, .tv_nsec = e->mtime_nsec}; }

static int set_times(int fd, struct timespec mtime) {
  struct timespec both[2] = {mtime, mtime};
  return utimensat(fd, "", both, AT_EMPTY_PATH);
}

/* Opens what was just made and gives it its looks. */
static int dress(struct extractor *x, int parent, const char *base, const struct tar_entry *e) {
  int fd = openat(parent, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = set_attributes(x, fd, e);
  if (!result && e->type != TAR_DIR) result = set_times(fd, entry_time(e));
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

static int keep_dir_time(struct extractor *x, const char *path, const struct tar_entry *e) {
  x->retained += strlen(path) + 1 + sizeof(struct extract_dir);
  if (x->retained > x->retained_most) {
    errno = E2BIG;
    return -1;
  }
  if (x->dir_count == x->dir_room) {
    size_t room = x->dir_room ? x->dir_room * 2 : 64;
    struct extract_dir *grown = realloc(x->dirs, room * sizeof *grown);
    if (!grown) return -1;
    x->dirs = grown;
    x->dir_room = room;
  }
  char *copy = strdup(path);
  if (!copy) return -1;
  x->dirs[x->dir_count++] = (struct extract_dir){copy, entry_time(e)};
  return 0;
}

static int make_dir(struct extractor *x, const char *path, int parent, const char *base, const struct tar_entry *e) {
  bool hides = false;
  if (mkdirat(parent, base, 0700)) {
    struct stat st;
    if (errno != EEXIST || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW)) return -1;
    if (!S_ISDIR(st.st_mode)) {
      hides = x->flags & EXTRACT_WHITEOUT_OVERLAY && S_ISCHR(st.st_mode) && st.st_rdev == 0;
      if (tree_remove(parent, base) || mkdirat(parent, base, 0700)) return -1;
      extract_forget_parent(x);
      parent = -1;
    }
  }
  if (parent < 0) {
    char above[4096];
    snprintf(above, sizeof above, "%.*s", strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : 0, path);
    if ((parent = extract_parent(x, above)) < 0) return -1;
  }
  if (dress(x, parent, base, e)) return -1;
  if (hides) {
    int fd = openat(parent, base, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = extract_mark_opaque(x, fd);
    close(fd);
    if (result) return -1;
  }
  return keep_dir_time(x, path, e);
}

static int link_to(struct extractor *x, int parent, const char *base, const struct tar_entry *e) {
  char target[4096];
  if (extract_clean(e->link, target, x->depth)) return -1;
  int fd = open_in_root(x->root, target, O_PATH | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT && x->flags & EXTRACT_NEED_PARENTS) errno = ESTALE;
    return -1;
  }
  struct stat there, here;
  int result = fstat(fd, &there);
  if (!result && !fstatat(parent, base, &here, AT_SYMLINK_NOFOLLOW)) {
    /* A name linked to itself stays. */
    if (here.st_ino == there.st_ino && here.st_dev == there.st_dev) goto out;
    result = tree_remove(parent, base);
  }
  if (!result) result = linkat(fd, "", parent, base, AT_EMPTY_PATH);
  int saved;
out:
  saved = errno;
  close(fd);
  errno = saved;
  return result;
}

static int make_node(struct extractor *x, int parent, const char *base, const struct tar_entry *e) {
  if (e->type == TAR_SYMLINK) {
    if (!*e->link || symlinkat(e->link, parent, base)) return -1;
    return dress(x, parent, base, e);
  }
  mode_t kind = e->type == TAR_FIFO ? S_IFIFO : e->type == TAR_CHAR ? S_IFCHR : S_IFBLK;
  if (kind != S_IFIFO && !(x->flags & EXTRACT_DEVICES)) {
    errno = EPERM;
    return -1;
  }
  /* 0/0 is how overlay marks a deletion; only ".wh." names may make one. */
  if (kind == S_IFCHR && e->dev_major == 0 && e->dev_minor == 0) {
    errno = EPERM;
    return -1;
  }
  if (mknodat(parent, base, kind | 0600, makedev(e->dev_major, e->dev_minor))) return -1;
  return dress(x, parent, base, e);
}

/* The entry outlives its callback: attributes are set when the data is there. */
static int keep_attributes(struct extractor *x, const struct tar_entry *e) {
  size_t size = sizeof *e + e->xattr_count * sizeof(struct tar_xattr), text = 0;
  for (size_t i = 0; i < e->xattr_count; i++) text += strlen(e->xattrs[i].name) + 1 + e->xattrs[i].size;
  struct tar_entry *copy = malloc(size + text);
  if (!copy) return -1;
  *copy = *e;
  struct tar_xattr *list = (struct tar_xattr *)(copy + 1);
  char *room = (char *)copy + size;
  for (size_t i = 0; i < e->xattr_count; i++) {
    size_t name = strlen(e->xattrs[i].name) + 1;
    memcpy(room, e->xattrs[i].name, name);
    memcpy(room + name, e->xattrs[i].value, e->xattrs[i].size);
    list[i] = (struct tar_xattr){room, (uint8_t *)room + name, e->xattrs[i].size};
    room += name + e->xattrs[i].size;
  }
  copy->xattrs = list;
  copy->path = copy->link = NULL;
  free(x->attributes);
  x->attributes = copy;
  return 0;
}

static int make_file(struct extractor *x, int parent, const char *base, const struct tar_entry *e) {
  int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  x->file = fd;
  x->file_size = e->size;
  x->counters.files++;
  return keep_attributes(x, e);
}

static int make_entry(struct extractor *x, const char *path, int parent, const char *base, const struct tar_entry *e) {
  if (e->type == TAR_DIR) return make_dir(x, path, parent, base, e);
  if (e->type == TAR_HARD_LINK) return link_to(x, parent, base, e);
  if (e->type == TAR_FILE && !make_file(x, parent, base, e)) return 0;
  if (e->type != TAR_FILE && !make_node(x, parent, base, e)) return 0;
  if (errno != EEXIST) return -1;
  /* A later entry of the same name replaces the earlier one. */
  if (tree_remove(parent, base)) return -1;
  extract_forget_parent(x);
  char above[4096];
  snprintf(above, sizeof above, "%.*s", strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : 0, path);
  if ((parent = extract_parent(x, above)) < 0) return -1;
  return e->type == TAR_FILE ? make_file(x, parent, base, e) : make_node(x, parent, base, e);
}

/* Refuses a folder in place of something else, and something else in place of a folder. */
static int keep_kind(int parent, const char *base, const struct tar_entry *e) {
  struct stat st;
  if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode) == (e->type == TAR_DIR)) return 0;
  errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
  return -1;
}

static int dress_root(struct extractor *x, const struct tar_entry *e) {
  if (x->flags & EXTRACT_COPY && e->type == TAR_DIR) return 0;
  if (e->type != TAR_DIR) {
    errno = EINVAL;
    return failed(x, e->path, "the root is not a folder");
  }
  x->counters.root_entry = true;
  if (set_attributes(x, x->root, e) || keep_dir_time(x, "", e)) return failed(x, e->path, "cannot set attributes of the root");
  return 0;
}

static int on_entry(void *context, const struct tar_entry *e) {
  struct extractor *x = context;
  char path[4096], above[4096];
  x->counters.entries++;
  if (extract_clean(e->path, path, x->depth)) return failed(x, e->path, "invalid name");
  if (x->flags & EXTRACT_OWNER && (e->uid < 0 || e->gid < 0 || e->uid >= UINT32_MAX || e->gid >= UINT32_MAX)) {
    errno = EINVAL;
    return failed(x, e->path, "invalid owner");
  }
  if (!*path) return dress_root(x, e);
  char *slash = strrchr(path, '/');
  snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) : 0, path);
  int parent = extract_parent(x, above);
  if (parent < 0) return failed(x, e->path, "cannot open the parent folder");
  const char *base = slash ? slash + 1 : path;
  int hidden = extract_whiteout(x, path, parent, base);
  if (hidden) return hidden < 0 ? failed(x, e->path, "cannot apply the whiteout") : 0;
  if (x->flags & EXTRACT_KEEP_KIND && keep_kind(parent, base, e)) return failed(x, path, "of another kind");
  errno = 0;
  if (make_entry(x, path, parent, base, e)) return failed(x, e->path, "cannot make the entry");
  if (extract_saw(x, path)) return failed(x, e->path, "cannot note the entry");
  return 0;
}

static int on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t size) {
  struct extractor *x = context;
  if (x->file < 0) return 0;
  x->counters.bytes += size;
  while (size) {
    ssize_t written = pwrite(x->file, bytes, size, (off_t)offset);
    if (written < 0) return failed(x, "", "cannot write the file");
    bytes += written;
    size -= (size_t)written;
    offset += (uint64_t)written;
  }
  return 0;
}

static int on_end(void *context) {
  struct extractor *x = context;
  if (x->file < 0) return 0;
  struct stat st;
  int result = fstat(x->file, &st);
  if (!result && (uint64_t)st.st_size != x->file_size) result = ftruncate(x->file, (off_t)x->file_size);
  if (!result) result = set_file_attributes(x, x->file, x->attributes);
  struct timespec times[2] = {entry_time(x->attributes), entry_time(x->attributes)};
  if (!result) result = futimens(x->file, times);
  if (result) failed(x, "", "cannot finish the file");
  if (close(x->file) && !result) result = failed(x, "", "cannot close the file");
  x->file = -1;
  return result;
}

struct tar_sink extract_sink(struct extractor *x) { return (struct tar_sink){x, on_entry, on_data, on_end}; }

int extract_finish(struct extractor *x) {
  extract_forget_parent(x);
  for (size_t i = 0; i < x->dir_count; i++) {
    int fd = open_in_root(x->root, x->dirs[i].path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue; /* a later entry replaced it */
    struct timespec times[2] = {x->dirs[i].mtime, x->dirs[i].mtime};
    int result = futimens(fd, times);
    close(fd);
    if (result) return failed(x, x->dirs[i].path, "cannot set the folder's time");
  }
  if (x->flags & EXTRACT_SYNC && syncfs(x->root)) return failed(x, "", "cannot sync");
  return 0;
}
