/* Whiteouts (image-spec, layer.md): ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" hides all that they have in this
 * folder. Neither touches what this layer itself brings. */
#define _GNU_SOURCE
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int extract_mark_opaque(struct extractor *x, int dir) {
  char self[32];
  snprintf(self, sizeof self, "/proc/self/fd/%d", dir);
  return setxattr(self, x->flags & EXTRACT_USER_XATTR ? "user.overlay.opaque" : "trusted.overlay.opaque", "y", 1, 0);
}

/* Removes what is below path and not of this layer; `name` in `parent` is path's last component. */
static int remove_lower(struct extractor *x, const char *path, int parent, const char *name) {
  if (!extract_has_seen(x, path)) return tree_remove(parent, name);
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -1;
  DIR *dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    char *child;
    if (asprintf(&child, *path ? "%s/%s" : "%s%s", path, entry->d_name) < 0) result = -1;
    else {
      result = remove_lower(x, child, fd, entry->d_name);
      free(child);
    }
  }
  int saved = errno;
  closedir(dir);
  errno = saved;
  return result;
}

static int apply(struct extractor *x, const char *path, int parent, const char *hidden) {
  char target[4096];
  const char *slash = strrchr(path, '/');
  if (!hidden) {
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(target, path, length);
    target[length] = 0;
    int fd = openat(parent, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    if (extract_saw(x, target)) {
      close(fd);
      return -1;
    }
    int result = remove_lower(x, target, fd, ".");
    close(fd);
    return result;
  }
  int size = snprintf(target, sizeof target, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, hidden);
  if (size < 0 || (size_t)size >= sizeof target) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return remove_lower(x, target, parent, hidden);
}

static int overlay(struct extractor *x, int parent, const char *hidden) {
  if (!hidden) return extract_mark_opaque(x, parent);
  if (!mknodat(parent, hidden, S_IFCHR | 0, makedev(0, 0))) return 0;
  if (errno != EEXIST) return -1;
  /* This layer has the name too: a file hides what is below anyway, a folder must not be merged with it. */
  int fd = openat(parent, hidden, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOTDIR || errno == ELOOP ? 0 : -1;
  int result = extract_mark_opaque(x, fd);
  close(fd);
  return result;
}

int extract_whiteout(struct extractor *x, const char *path, int parent, const char *base) {
  if (!(x->flags & (EXTRACT_WHITEOUT_APPLY | EXTRACT_WHITEOUT_OVERLAY)) || strncmp(base, ".wh.", 4)) return 0;
  bool opaque = !strcmp(base, ".wh..wh..opq");
  /* Other ".wh..wh." names are aufs's own records. */
  if (!opaque && !strncmp(base, ".wh..wh.", 8)) return 1;
  const char *hidden = opaque ? NULL : base + 4;
  if (hidden && (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))) {
    errno = EXDEV;
    return -1;
  }
  x->counters.whiteouts++;
  int result = x->flags & EXTRACT_WHITEOUT_APPLY ? apply(x, path, parent, hidden) : overlay(x, parent, hidden);
  extract_forget_parent(x);
  return result ? -1 : 1;
}
