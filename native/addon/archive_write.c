/* The tar writer: a tree, by fd and in sorted order, as POSIX tar with PAX records where ustar does not suffice. With `overlay`
 * an upper folder becomes a layer: 0/0 devices and opaque folders become whiteouts (image-spec, layer.md). */
#define _GNU_SOURCE
#include "archive_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static int emit(struct writer *w, const void *bytes, size_t size) { return w->output(w->context, bytes, size); }

static int emit_padding(struct writer *w, uint64_t size) {
  static const uint8_t zeros[512];
  return size % 512 ? emit(w, zeros, 512 - size % 512) : 0;
}

/* Zero-filled digits and a NUL. The value fits: what does not is in PAX records. */
static void put_octal(char *field, size_t size, uint64_t value) {
  for (size_t i = size - 1; i-- > 0; value >>= 3) field[i] = (char)('0' + (value & 7));
}

struct pax {
  char *bytes;
  size_t size, room;
};

static int pax_add(struct pax *pax, const char *key, const void *value, size_t size) {
  char digits[24];
  size_t rest = strlen(key) + size + 3, length = rest + 1;
  while (length != rest + (size_t)snprintf(digits, sizeof digits, "%zu", length)) length = rest + (size_t)snprintf(digits, sizeof digits, "%zu", length);
  if (pax->size + length + 1 > pax->room) {
    size_t room = (pax->size + length + 1) * 2;
    char *grown = realloc(pax->bytes, room);
    if (!grown) return -1;
    pax->bytes = grown;
    pax->room = room;
  }
  int head = snprintf(pax->bytes + pax->size, length + 1, "%s %s=", digits, key);
  memcpy(pax->bytes + pax->size + head, value, size);
  pax->bytes[pax->size + (size_t)head + size] = '\n';
  pax->size += length;
  return 0;
}

static int pax_number(struct pax *pax, const char *key, uint64_t value) {
  char text[24];
  return pax_add(pax, key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

/* One header block; names and numbers that do not fit are in the PAX records before it. */
static int emit_block(struct writer *w, const char *path, char type, const char *link, const struct stat *st, uint64_t size) {
  char block[512] = {0};
  memcpy(block, path, strnlen(path, 100));
  put_octal(block + 100, 8, st->st_mode & 07777);
  put_octal(block + 108, 8, st->st_uid <= 07777777 ? st->st_uid : 0);
  put_octal(block + 116, 8, st->st_gid <= 07777777 ? st->st_gid : 0);
  put_octal(block + 124, 12, size <= 077777777777 ? size : 0);
  put_octal(block + 136, 12, st->st_mtim.tv_sec >= 0 && st->st_mtim.tv_sec <= 077777777777 ? (uint64_t)st->st_mtim.tv_sec : 0);
  memset(block + 148, ' ', 8);
  block[156] = type;
  memcpy(block + 157, link, strnlen(link, 100));
  memcpy(block + 257, "ustar\00000", 8);
  if (type == TAR_CHAR || type == TAR_BLOCK) {
    put_octal(block + 329, 8, major(st->st_rdev));
    put_octal(block + 337, 8, minor(st->st_rdev));
  }
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof block; i++) sum += (uint8_t)block[i];
  put_octal(block + 148, 7, sum);
  block[154] = 0;
  return emit(w, block, sizeof block);
}

static int pax_xattrs(const struct writer *w, struct pax *pax, int fd) {
  char self[32], names[65536], key[XATTR_NAME_MAX + 16], value[XATTR_SIZE_MAX];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  ssize_t size = listxattr(self, names, sizeof names);
  if (size < 0) return errno == ENOTSUP ? 0 : -1;
  for (char *name = names; name < names + size; name += strlen(name) + 1) {
    /* What containers can set and what file capabilities are; the rest belongs to this machine. */
    if (strcmp(name, "security.capability") && strncmp(name, "user.", 5)) continue;
    if (!strncmp(name, "user.overlay.", 13)) continue;
    ssize_t length = getxattr(self, name, value, sizeof value);
    if (length < 0) continue;
    if (*name == 's') length = (ssize_t)ids_caps_inside(&w->ids, (uint8_t *)value, (size_t)length);
    memcpy(key, "SCHILY.xattr.", 13);
    memcpy(key + 13, name, strlen(name) + 1);
    if (pax_add(pax, key, value, (size_t)length)) return -1;
  }
  return 0;
}

int writer_header(struct writer *w, const char *path, char type, const char *link, const struct stat *found, int fd) {
  struct pax pax = {0};
  struct stat seen = *found, *st = &seen;
  st->st_uid = ids_inside(&w->ids, ID_USER, st->st_uid);
  st->st_gid = ids_inside(&w->ids, ID_GROUP, st->st_gid);
  uint64_t size = type == TAR_FILE ? (uint64_t)st->st_size : 0;
  int result = 0;
  if (strlen(path) > 100) result |= pax_add(&pax, "path", path, strlen(path));
  if (strlen(link) > 100) result |= pax_add(&pax, "linkpath", link, strlen(link));
  if (st->st_uid > 07777777) result |= pax_number(&pax, "uid", st->st_uid);
  if (st->st_gid > 07777777) result |= pax_number(&pax, "gid", st->st_gid);
  if (size > 077777777777) result |= pax_number(&pax, "size", size);
  if (st->st_mtim.tv_sec < 0) {
    char text[24];
    result |= pax_add(&pax, "mtime", text, (size_t)snprintf(text, sizeof text, "%lld", (long long)st->st_mtim.tv_sec));
  }
  if (fd >= 0 && type != TAR_HARD_LINK) result |= pax_xattrs(w, &pax, fd);
  if (!result && pax.size) {
    struct stat plain = {.st_mode = 0644};
    result = emit_block(w, "PaxHeaders.0/header", 'x', "", &plain, pax.size) || emit(w, pax.bytes, pax.size) || emit_padding(w, pax.size);
  }
  free(pax.bytes);
  return result ? -1 : emit_block(w, path, type, link, st, size);
}

/* Exactly as many bytes as the header says, also when the file changes meanwhile. */
static int emit_data(struct writer *w, int fd, uint64_t size) {
  int sent = w->file ? w->file(w->context, fd, size) : 0;
  if (sent) return sent < 0 ? -1 : emit_padding(w, size);
  for (uint64_t left = size; left;) {
    ssize_t got = read(fd, w->room, left < WRITER_ROOM ? (size_t)left : WRITER_ROOM);
    if (got < 0) return -1;
    if (got == 0) {
      got = left < WRITER_ROOM ? (ssize_t)left : WRITER_ROOM;
      memset(w->room, 0, (size_t)got);
    }
    if (emit(w, w->room, (size_t)got)) return -1;
    left -= (uint64_t)got;
  }
  return emit_padding(w, size);
}

/* The first path of a file with several names, or NULL the first time. */
static const char *known_path(struct writer *w, const struct stat *st, const char *path) {
  if (w->known_count * 2 >= w->known_room) {
    size_t room = w->known_room ? w->known_room * 2 : 256;
    struct known_file *grown = calloc(room, sizeof *grown);
    if (!grown) return NULL;
    for (size_t i = 0; i < w->known_room; i++) {
      if (!w->known[i].path) continue;
      size_t at = w->known[i].inode % room;
      while (grown[at].path) at = (at + 1) % room;
      grown[at] = w->known[i];
    }
    free(w->known);
    w->known = grown;
    w->known_room = room;
  }
  size_t at = st->st_ino % w->known_room;
  for (; w->known[at].path; at = (at + 1) % w->known_room)
    if (w->known[at].inode == st->st_ino && w->known[at].device == st->st_dev) return w->known[at].path;
  w->known[at] = (struct known_file){st->st_dev, st->st_ino, strdup(path)};
  w->known_count++;
  return NULL;
}

int writer_marker(struct writer *w, const char *path, const char *name) {
  char whole[4096];
  struct stat st = {0};
  if (snprintf(whole, sizeof whole, "%s%s", path, name) >= (int)sizeof whole) return errno = ENAMETOOLONG, -1;
  return writer_header(w, whole, TAR_FILE, "", &st, -1);
}

static int write_dir(struct writer *w, int dir, const char *prefix, int depth);

static int write_folder(struct writer *w, int dir, const char *name, const char *path, int depth) {
  char folder[4096], value[2];
  struct stat st;
  if (snprintf(folder, sizeof folder, "%s/", path) >= (int)sizeof folder) return errno = ENAMETOOLONG, -1;
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  int result = fstat(fd, &st) || writer_header(w, folder, TAR_DIR, "", &st, fd) ? -1 : 0;
  if (!result && w->overlay && fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y') result = writer_marker(w, folder, ".wh..wh..opq");
  if (!result) result = write_dir(w, fd, folder, depth + 1);
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

int writer_file(struct writer *w, int dir, const char *name, const char *path) {
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  struct stat st;
  const char *first = NULL;
  int result = fstat(fd, &st);
  if (!result && S_ISREG(st.st_mode)) {
    if (st.st_nlink > 1) first = known_path(w, &st, path);
    result = first ? writer_header(w, path, TAR_HARD_LINK, first, &st, -1) : writer_header(w, path, TAR_FILE, "", &st, fd) || emit_data(w, fd, (uint64_t)st.st_size) ? -1 : 0;
  }
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

int writer_node(struct writer *w, int dir, const char *name, const char *prefix, const char *path, const struct stat *st) {
  char link[PATH_MAX] = "";
  if (S_ISSOCK(st->st_mode)) return 0;
  if (w->overlay && S_ISCHR(st->st_mode) && st->st_rdev == 0) {
    char hidden[300];
    snprintf(hidden, sizeof hidden, ".wh.%s", name);
    return writer_marker(w, prefix, hidden);
  }
  if (S_ISLNK(st->st_mode)) {
    ssize_t size = readlinkat(dir, name, link, sizeof link - 1);
    if (size < 0) return errno == ENOENT ? 0 : -1;
    link[size] = 0;
  }
  char type = S_ISLNK(st->st_mode) ? TAR_SYMLINK : S_ISCHR(st->st_mode) ? TAR_CHAR : S_ISBLK(st->st_mode) ? TAR_BLOCK : TAR_FIFO;
  return writer_header(w, path, type, link, st, -1);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list_names(int dir, char ***names, size_t *count) {
  size_t room = 0;
  int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = again < 0 ? NULL : fdopendir(again);
  if (!stream) {
    if (again >= 0) close(again);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; !result && (entry = readdir(stream));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (*count == room) {
      room = room ? room * 2 : 64;
      char **grown = realloc(*names, room * sizeof *grown);
      if (!grown) result = -1;
      else *names = grown;
    }
    if (!result && !((*names)[*count] = strdup(entry->d_name))) result = -1;
    if (!result) ++*count;
  }
  int saved = errno;
  closedir(stream);
  errno = saved;
  if (*count) qsort(*names, *count, sizeof **names, compare_names);
  return result;
}

static int write_entry(struct writer *w, int dir, const char *name, const char *prefix, int depth) {
  char path[4096];
  struct stat st;
  if (w->overlay && is_opaque_file(name)) return 0;
  if (snprintf(path, sizeof path, "%s%s", prefix, name) >= (int)sizeof path) return errno = ENAMETOOLONG, -1;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT ? 0 : -1;
  if (S_ISDIR(st.st_mode)) return write_folder(w, dir, name, path, depth);
  if (S_ISREG(st.st_mode)) return writer_file(w, dir, name, path);
  return writer_node(w, dir, name, prefix, path, &st);
}

static int write_dir(struct writer *w, int dir, const char *prefix, int depth) {
  if (depth > 400) return errno = ELOOP, -1;
  char **names = NULL;
  size_t count = 0;
  int result = list_names(dir, &names, &count);
  for (size_t i = 0; i < count; i++) {
    if (!result) result = write_entry(w, dir, names[i], prefix, depth);
    free(names[i]);
  }
  free(names);
  return result;
}

int writer_finish(struct writer *w, int result) {
  static const uint8_t end[1024];
  if (!result) result = emit(w, end, sizeof end);
  int saved = errno;
  for (size_t i = 0; i < w->known_room; i++) free(w->known[i].path);
  free(w->known);
  free(w->room);
  errno = saved;
  return result;
}

int tree_write(int dir, bool overlay, const struct id_maps *ids, const struct tree_output *output) {
  struct writer w = {.ids = *ids, .overlay = overlay, .output = output->bytes, .file = output->file, .context = output->context, .room = malloc(WRITER_ROOM)};
  return writer_finish(&w, w.room ? write_dir(&w, dir, "", 0) : -1);
}

int tree_write_as(int dir, const char *name, const char *renamed, const struct id_maps *ids, const struct tree_output *output) {
  struct writer w = {.ids = *ids, .output = output->bytes, .file = output->file, .context = output->context, .room = malloc(WRITER_ROOM)};
  struct stat st;
  int result = w.room ? 0 : -1;
  if (!result && !*name) result = write_folder(&w, dir, ".", renamed, 0);
  else if (!result) result = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
  if (!result && *name) result = S_ISDIR(st.st_mode) ? write_folder(&w, dir, name, renamed, 0) : S_ISREG(st.st_mode) ? writer_file(&w, dir, name, renamed) : writer_node(&w, dir, name, "", renamed, &st);
  return writer_finish(&w, result);
}
