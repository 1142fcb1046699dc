/* Names of an archive become file descriptors below one root: cleaned lexically, resolved by openat2 inside the root. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_below(int root, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS};
  for (int attempt = 0;; attempt++) {
    int fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
    /* EAGAIN: a rename elsewhere on the machine raced with the look-up (openat2(2)). */
    if (fd >= 0 || errno != EAGAIN || attempt == 128) return fd;
  }
}

int open_in_root(int root, const char *path, int flags) { return open_below(root, path, flags, RESOLVE_IN_ROOT); }

int open_beneath(int root, const char *path, int flags) { return open_below(root, path, flags, RESOLVE_BENEATH); }

int extract_clean(const char *name, char room[4096], uint64_t depth) {
  size_t length = 0;
  uint64_t components = 0;
  while (*name) {
    size_t size = strcspn(name, "/");
    if (size == 2 && name[0] == '.' && name[1] == '.') {
      if (!length) {
        errno = EXDEV;
        return -1;
      }
      while (length && room[length - 1] != '/') length--;
      if (length) length--;
      components--;
    } else if (size && !(size == 1 && name[0] == '.')) {
      if (size > 255 || length + size + 2 > 4096 || ++components > depth) {
        errno = ENAMETOOLONG;
        return -1;
      }
      if (length) room[length++] = '/';
      memcpy(room + length, name, size);
      length += size;
    }
    name += size;
    while (*name == '/') name++;
  }
  room[length] = 0;
  return 0;
}

void extract_forget_parent(struct extractor *x) {
  if (x->parent >= 0) close(x->parent);
  x->parent = -1;
}

static int make_missing(struct extractor *x, char *path);

enum { MOST_LINKS = 40 };

/* `base` in `above` is a link to what is missing: makes the folder that it leads to inside the root. path is the link's own. */
static int make_link_target(struct extractor *x, const char *path, int above, const char *base) {
  char link[4096], whole[8192], target[4096];
  ssize_t size = readlinkat(above, base, link, sizeof link - 1);
  if (size < 0 || ++x->links_followed > MOST_LINKS) {
    errno = size < 0 ? EEXIST : ELOOP;
    return -1;
  }
  link[size] = 0;
  int folder = link[0] == '/' ? 0 : (int)(base - path);
  snprintf(whole, sizeof whole, "%.*s%s", folder, path, link);
  return extract_clean(whole, target, x->depth) ? -1 : make_missing(x, target);
}

/* Makes the last folder of path, all others being there or made first. */
static int make_missing(struct extractor *x, char *path) {
  for (char *at = path;;) {
    char *slash = strchr(at, '/');
    if (slash) *slash = 0;
    int here = open_in_root(x->root, path, O_PATH | O_DIRECTORY);
    if (here < 0 && errno == ENOENT) {
      if (x->flags & EXTRACT_NEED_PARENTS) {
        errno = ESTALE;
        return -1;
      }
      char *base = strrchr(path, '/');
      if (base) *base = 0;
      int above = open_in_root(x->root, base ? path : "", O_PATH | O_DIRECTORY);
      if (base) *base = '/';
      if (above < 0) return -1;
      const char *name = base ? base + 1 : path;
      int made = mkdirat(above, name, 0755);
      if (made && errno == EEXIST && x->flags & EXTRACT_COPY) made = make_link_target(x, path, above, name);
      int saved = errno;
      close(above);
      errno = saved;
      if (made) return -1;
      if (extract_saw(x, path)) return -1;
    } else if (here < 0) {
      return -1;
    } else {
      close(here);
    }
    if (!slash) return 0;
    *slash = '/';
    at = slash + 1;
  }
}

/* Folders that hold something of this archive are its own too: an opaque mark above must not remove them whole. */
static int saw_parents(struct extractor *x, const char *path) {
  if (!(x->flags & EXTRACT_WHITEOUT_APPLY)) return 0;
  char prefix[4096];
  for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
    memcpy(prefix, path, (size_t)(slash - path));
    prefix[slash - path] = 0;
    if (extract_saw(x, prefix)) return -1;
  }
  return *path ? extract_saw(x, path) : 0;
}

int extract_parent(struct extractor *x, const char *path) {
  if (x->parent >= 0 && !strcmp(path, x->parent_path)) return x->parent;
  extract_forget_parent(x);
  int fd = open_in_root(x->root, path, O_PATH | O_DIRECTORY);
  if (fd < 0 && errno == ENOENT) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    if (make_missing(x, copy)) return -1;
    fd = open_in_root(x->root, path, O_PATH | O_DIRECTORY);
  }
  if (fd < 0) return -1;
  if (saw_parents(x, path)) {
    close(fd);
    return -1;
  }
  snprintf(x->parent_path, sizeof x->parent_path, "%s", path);
  return x->parent = fd;
}

/* FNV-1a; 0 is kept for empty places. */
uint64_t extract_hash(const char *path) {
  uint64_t hash = 0xcbf29ce484222325;
  for (; *path; path++) hash = (hash ^ (uint8_t)*path) * 0x100000001b3;
  return hash ? hash : 1;
}

/* True when it was not there. */
static bool place(uint64_t *seen, size_t room, uint64_t hash) {
  size_t at = hash & (room - 1);
  while (seen[at] && seen[at] != hash) at = (at + 1) & (room - 1);
  bool fresh = !seen[at];
  seen[at] = hash;
  return fresh;
}

int extract_saw(struct extractor *x, const char *path) {
  if (!(x->flags & EXTRACT_WHITEOUT_APPLY)) return 0;
  if (x->seen_count * 2 >= x->seen_room) {
    size_t room = x->seen_room ? x->seen_room * 2 : 1024;
    if (room * sizeof(uint64_t) > x->retained_most) {
      errno = E2BIG;
      return -1;
    }
    uint64_t *grown = calloc(room, sizeof *grown);
    if (!grown) return -1;
    for (size_t i = 0; i < x->seen_room; i++)
      if (x->seen[i]) place(grown, room, x->seen[i]);
    free(x->seen);
    x->seen = grown;
    x->seen_room = room;
  }
  if (place(x->seen, x->seen_room, extract_hash(path))) x->seen_count++;
  return 0;
}

bool extract_has_seen(const struct extractor *x, const char *path) {
  if (!x->seen_room) return false;
  uint64_t hash = extract_hash(path);
  for (size_t at = hash & (x->seen_room - 1); x->seen[at]; at = (at + 1) & (x->seen_room - 1))
    if (x->seen[at] == hash) return true;
  return false;
}
