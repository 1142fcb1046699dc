/* Operations on whole trees, by fd, never following a link. Recursion is by explicit stack of open folders' streams: depth is
 * bounded by the number of file descriptors, so deeper folders are first moved up (removal) or refused (copy, usage). */
#define _GNU_SOURCE
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name in `top` that nothing has: where too deep folders are moved to while a tree is removed. */
static void fresh_name(char room[40]) {
  static _Atomic unsigned counter;
  snprintf(room, 40, ".gantry-deep-%d-%u", (int)getpid(), counter++);
}

static bool is_dot(const char *name) { return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])); }

static DIR *open_dir(int dir, const char *name) {
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return NULL;
  DIR *stream = fdopendir(fd);
  if (!stream) close(fd);
  return stream;
}

/* One that others are in cannot be destroyed at once. Nothing but a subvolume can be moved to another subvolume: those that are
 * further down come to the top, those at the top are emptied by themselves. */
static int clear_subvolume(int top, int dir, const char *name, int depth, bool *again) {
  if (!destroy_subvolume(dir, name)) return 0;
  if (depth > 0) {
    char fresh[40];
    fresh_name(fresh);
    *again = true;
    return renameat(dir, name, top, fresh);
  }
  int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (child < 0) return errno == ENOENT ? 0 : -1;
  int result = tree_clear(child);
  close(child);
  return result ? -1 : destroy_subvolume(dir, name);
}

/* Empties `dir`. Folders below `depth` 64 are moved to `top`, which is emptied again until nothing is left. */
static int clear_dir(int top, int dir, int depth, bool *again) {
  DIR *stream = open_dir(dir, ".");
  if (!stream) return -1;
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(stream));) {
    if (is_dot(entry->d_name)) continue;
    if (entry->d_type != DT_DIR && !unlinkat(dir, entry->d_name, 0)) continue;
    if (entry->d_type != DT_DIR && errno == ENOENT) continue;
    if (!unlinkat(dir, entry->d_name, AT_REMOVEDIR) || errno == ENOENT) continue;
    if (errno != ENOTEMPTY && errno != EEXIST) {
      result = -1;
      break;
    }
    if (is_subvolume(dir, entry->d_name)) {
      result = clear_subvolume(top, dir, entry->d_name, depth, again);
      continue;
    }
    if (depth >= 64) {
      char name[40];
      fresh_name(name);
      *again = true;
      result = renameat(dir, entry->d_name, top, name);
      continue;
    }
    int child = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) {
      result = errno == ENOENT ? 0 : -1;
      continue;
    }
    result = clear_dir(top, child, depth + 1, again);
    close(child);
    if (!result && unlinkat(dir, entry->d_name, AT_REMOVEDIR) && errno != ENOENT) result = -1;
  }
  int saved = errno;
  closedir(stream);
  errno = saved;
  return result;
}

int tree_clear(int dir) {
  for (bool again = true; again;) {
    again = false;
    if (clear_dir(dir, dir, 0, &again)) return -1;
  }
  return 0;
}

int tree_remove(int dir, const char *name) {
  if (!unlinkat(dir, name, 0) || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return -1;
  if (!unlinkat(dir, name, AT_REMOVEDIR) || errno == ENOENT) return 0;
  if (errno != ENOTEMPTY && errno != EEXIST) return -1;
  if (is_subvolume(dir, name) && !destroy_subvolume(dir, name)) return 0;
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = tree_clear(fd);
  close(fd);
  if (result) return -1;
  return unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT ? -1 : 0;
}

int tree_empty(int dir) {
  DIR *stream = open_dir(dir, ".");
  if (!stream) return -1;
  int first = 0;
  for (struct dirent *entry; (entry = readdir(stream));)
    if (!is_dot(entry->d_name) && tree_remove(dir, entry->d_name) && !first) first = errno;
  closedir(stream);
  errno = first;
  return first ? -1 : 0;
}

/* ---- usage ---- */

struct inode_set {
  uint64_t *inodes;
  size_t count, room;
};

static int inode_is_new(struct inode_set *set, uint64_t inode) {
  if (set->count * 2 >= set->room) {
    size_t room = set->room ? set->room * 2 : 256;
    uint64_t *grown = calloc(room, sizeof *grown);
    if (!grown) return -1;
    for (size_t i = 0; i < set->room; i++) {
      if (!set->inodes[i]) continue;
      size_t at = set->inodes[i] & (room - 1);
      while (grown[at]) at = (at + 1) & (room - 1);
      grown[at] = set->inodes[i];
    }
    free(set->inodes);
    set->inodes = grown;
    set->room = room;
  }
  size_t at = inode & (set->room - 1);
  for (; set->inodes[at]; at = (at + 1) & (set->room - 1))
    if (set->inodes[at] == inode) return 0;
  set->inodes[at] = inode;
  set->count++;
  return 1;
}

static int add_usage(int dir, struct tree_usage *usage, struct inode_set *links, int depth) {
  if (depth > 512) {
    errno = ELOOP;
    return -1;
  }
  DIR *stream = open_dir(dir, ".");
  if (!stream) return -1;
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(stream));) {
    struct stat st;
    if (is_dot(entry->d_name)) continue;
    if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
      result = errno == ENOENT ? 0 : -1;
      continue;
    }
    int fresh = !S_ISDIR(st.st_mode) && st.st_nlink > 1 ? inode_is_new(links, st.st_ino) : 1;
    if (fresh < 0) result = -1;
    if (fresh > 0) {
      usage->bytes += (uint64_t)st.st_blocks * 512;
      usage->inodes++;
      if (!S_ISDIR(st.st_mode)) usage->content += (uint64_t)st.st_size;
    }
    if (!S_ISDIR(st.st_mode)) continue;
    int child = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) {
      result = errno == ENOENT ? 0 : -1;
      continue;
    }
    result = add_usage(child, usage, links, depth + 1);
    close(child);
  }
  int saved = errno;
  closedir(stream);
  errno = saved;
  return result;
}

int tree_usage(int dir, struct tree_usage *usage) {
  struct inode_set links = {0};
  struct stat st;
  *usage = (struct tree_usage){0};
  if (fstat(dir, &st)) return -1;
  *usage = (struct tree_usage){(uint64_t)st.st_blocks * 512, 1, 0};
  int result = add_usage(dir, usage, &links, 0);
  free(links.inodes);
  return result;
}
