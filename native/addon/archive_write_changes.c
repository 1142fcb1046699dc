/* What a whole tree changed in an older one, as a layer: for storage drivers that keep whole trees. */
#define _GNU_SOURCE
#include "archive_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct change {
  char kind;
  char *path;
};

struct changes {
  struct change *list;
  size_t count, room;
};

static int add_change(void *context, char kind, const char *path) {
  struct changes *changes = context;
  if (changes->count == changes->room) {
    size_t room = changes->room ? changes->room * 2 : 256;
    struct change *grown = realloc(changes->list, room * sizeof *grown);
    if (!grown) return -1;
    changes->list = grown;
    changes->room = room;
  }
  char *copy = strdup(path);
  if (!copy) return -1;
  changes->list[changes->count++] = (struct change){kind, copy};
  return 0;
}

/* A folder's content directly after it: the slash counts least. */
static int compare_paths(const void *a, const void *b) {
  const char *one = ((const struct change *)a)->path, *other = ((const struct change *)b)->path;
  while (*one && *one == *other) one++, other++;
  int left = *one == '/' ? 1 : (uint8_t)*one + 1 - !*one, right = *other == '/' ? 1 : (uint8_t)*other + 1 - !*other;
  return left - right;
}

/* The folder of a path that the tree has; `name` is set to its last component. */
static int open_parent(int dir, const char *path, const char **name) {
  const char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  char parent[4096];
  snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
  return slash ? open_in_root(dir, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Folders on the way that did not change themselves: all below `path` that the path written before it is not in. */
static int write_ancestors(struct writer *w, int dir, const char *path, const char *before) {
  for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
    size_t size = (size_t)(slash - path);
    if (!strncmp(path, before, size) && (before[size] == '/' || !before[size])) continue;
    char folder[4096];
    struct stat st;
    snprintf(folder, sizeof folder, "%.*s", (int)size, path);
    int fd = open_in_root(dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return -1;
    memcpy(folder + size, "/", 2);
    int result = fstat(fd, &st) || writer_header(w, folder, TAR_DIR, "", &st, fd) ? -1 : 0;
    close(fd);
    if (result) return -1;
  }
  return 0;
}

static int write_change(struct writer *w, int dir, const struct change *change) {
  const char *name;
  char prefix[4096], folder[4096];
  struct stat st;
  int parent = open_parent(dir, change->path, &name), result = -1;
  if (parent < 0) return -1;
  snprintf(prefix, sizeof prefix, "%.*s", (int)(name - change->path), change->path);
  if (change->kind == 'D') {
    char hidden[300];
    snprintf(hidden, sizeof hidden, ".wh.%s", name);
    result = writer_marker(w, prefix, hidden);
  } else if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) {
    result = errno == ENOENT ? 0 : -1;
  } else if (S_ISDIR(st.st_mode)) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && snprintf(folder, sizeof folder, "%s/", change->path) < (int)sizeof folder) result = writer_header(w, folder, TAR_DIR, "", &st, fd);
    if (fd >= 0) close(fd);
  } else {
    result = S_ISREG(st.st_mode) ? writer_file(w, parent, name, change->path) : writer_node(w, parent, name, prefix, change->path, &st);
  }
  int saved = errno;
  close(parent);
  errno = saved;
  return result;
}

int tree_write_changes(int dir, const int *lowers, size_t count, enum tree_kind kind, stream_output output, void *context) {
  struct writer w = {.output = output, .context = context, .room = malloc(WRITER_ROOM)};
  struct changes changes = {0};
  int result = w.room ? tree_diff(dir, lowers, count, kind, add_change, &changes) : -1;
  if (changes.count) qsort(changes.list, changes.count, sizeof *changes.list, compare_paths);
  const char *before = "";
  for (size_t i = 0; i < changes.count && !result; i++) {
    result = write_ancestors(&w, dir, changes.list[i].path, before) || write_change(&w, dir, &changes.list[i]) ? -1 : 0;
    before = changes.list[i].path;
  }
  result = writer_finish(&w, result);
  for (size_t i = 0; i < changes.count; i++) free(changes.list[i].path);
  free(changes.list);
  return result;
}
