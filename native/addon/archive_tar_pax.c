/* PAX extended headers: "LENGTH KEY=VALUE\n" records that replace fields of the header that follows, extended attributes, and
 * GNU's sparse formats 0.0, 0.1 and 1.0. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pax_sparse {
  const char *name, *map;
  uint64_t size;
  bool has_size, is_sparse, has_offset;
  char major, minor;
  uint64_t offset;
};

static int malformed(struct tar_parser *p) { return archive_fail(&p->error, EBADMSG, p->entry.path, "invalid extended header"); }

static int decimal(const char *text, uint64_t *value) {
  uint64_t total = 0;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || total > (INT64_MAX - 9) / 10) return -1;
    total = total * 10 + (uint64_t)(*text - '0');
  }
  *value = total;
  return 0;
}

static int signed_decimal(const char *text, int64_t *value) {
  uint64_t size;
  bool negative = *text == '-';
  if (decimal(text + negative, &size)) return -1;
  *value = negative ? -(int64_t)size : (int64_t)size;
  return 0;
}

/* Seconds with an optional fraction; nanoseconds count upwards also before 1970. */
static int time_value(char *text, int64_t *seconds, uint32_t *nanoseconds) {
  char *point = strchr(text, '.');
  uint32_t fraction = 0;
  if (point) {
    *point++ = 0;
    uint32_t scale = 100000000;
    for (; *point; point++, scale /= 10) {
      if (*point < '0' || *point > '9') return -1;
      fraction += (uint32_t)(*point - '0') * scale;
    }
  }
  if (signed_decimal(text, seconds)) return -1;
  if (*text == '-' && fraction) {
    *seconds -= 1;
    fraction = 1000000000 - fraction;
  }
  *nanoseconds = fraction;
  return 0;
}

static int add_xattr(struct tar_parser *p, const char *name, const char *value, size_t size) {
  if (!*name) return malformed(p);
  if (p->xattr_count == p->xattr_room) {
    size_t room = p->xattr_room ? p->xattr_room * 2 : 8;
    struct tar_xattr *grown = realloc(p->xattrs, room * sizeof *grown);
    if (!grown) return archive_fail(&p->error, ENOMEM, "", "out of memory");
    p->xattrs = grown;
    p->xattr_room = room;
  }
  p->xattrs[p->xattr_count++] = (struct tar_xattr){name, (const uint8_t *)value, size};
  return 0;
}

static int sparse_record(struct tar_parser *p, struct pax_sparse *sparse, const char *key, const char *value) {
  uint64_t number;
  if (!strcmp(key, "major")) sparse->major = value[0] && !value[1] ? value[0] : '?';
  else if (!strcmp(key, "minor")) sparse->minor = value[0] && !value[1] ? value[0] : '?';
  else if (!strcmp(key, "name")) sparse->name = value;
  else if (!strcmp(key, "map")) sparse->map = value;
  else if (!strcmp(key, "size") || !strcmp(key, "realsize")) {
    if (decimal(value, &sparse->size)) return malformed(p);
    sparse->has_size = true;
  } else if (!strcmp(key, "offset")) {
    if (sparse->has_offset || decimal(value, &sparse->offset)) return malformed(p);
    sparse->has_offset = sparse->is_sparse = true;
  } else if (!strcmp(key, "numbytes")) {
    if (!sparse->has_offset || decimal(value, &number)) return malformed(p);
    sparse->has_offset = false;
    return tar_add_segment(p, sparse->offset, number);
  }
  return 0;
}

static int apply_record(struct tar_parser *p, struct pax_sparse *sparse, uint64_t *stored_size, char *key, char *value, size_t size) {
  struct tar_entry *e = &p->entry;
  if (strlen(key) == 0) return malformed(p);
  if (!strncmp(key, "SCHILY.xattr.", 13)) return add_xattr(p, key + 13, value, size);
  if (strlen(value) != size) return malformed(p);
  if (!strncmp(key, "GNU.sparse.", 11)) return sparse_record(p, sparse, key + 11, value);
  if (!*value) return 0;
  int bad = 0;
  if (!strcmp(key, "path")) e->path = value;
  else if (!strcmp(key, "linkpath")) e->link = value;
  else if (!strcmp(key, "size")) bad = decimal(value, stored_size);
  else if (!strcmp(key, "uid")) bad = signed_decimal(value, &e->uid);
  else if (!strcmp(key, "gid")) bad = signed_decimal(value, &e->gid);
  else if (!strcmp(key, "mtime")) bad = time_value(value, &e->mtime, &e->mtime_nsec);
  return bad ? malformed(p) : 0;
}

/* 0.1: "offset,size,offset,size". */
static int read_map(struct tar_parser *p, const char *text) {
  char number[24];
  uint64_t pair[2];
  for (size_t count = 0; *text; count++) {
    size_t length = strcspn(text, ",");
    if (length == 0 || length >= sizeof number) return malformed(p);
    memcpy(number, text, length);
    number[length] = 0;
    if (decimal(number, &pair[count % 2])) return malformed(p);
    if (count % 2 && tar_add_segment(p, pair[0], pair[1])) return -1;
    text += length;
    if (*text == ',') text++;
    if (!*text && count % 2 == 0) return malformed(p);
  }
  return 0;
}

static int apply_sparse(struct tar_parser *p, struct pax_sparse *sparse, uint64_t *stored_size, bool *map_in_data) {
  bool one = sparse->major == '1' && sparse->minor == '0';
  bool zero = sparse->major == '0' && (sparse->minor == '0' || sparse->minor == '1');
  if (sparse->major && !one && !zero) return archive_fail(&p->error, EBADMSG, p->entry.path, "unknown sparse format");
  if (!one && !zero && !sparse->map && !sparse->is_sparse) return 0;
  if (sparse->has_offset) return malformed(p);
  p->sparse = true;
  if (sparse->name && *sparse->name) p->entry.path = sparse->name;
  p->entry.size = sparse->has_size ? sparse->size : *stored_size;
  *map_in_data = one;
  return !one && sparse->map ? read_map(p, sparse->map) : 0;
}

int tar_apply_pax(struct tar_parser *p, uint64_t *stored_size, bool *map_in_data) {
  struct pax_sparse sparse = {0};
  char *at = p->pax.bytes, *end = at + p->pax.size;
  while (at < end) {
    char *space = memchr(at, ' ', (size_t)(end - at));
    uint64_t length;
    if (!space || space - at > 8) return malformed(p);
    *space = 0;
    if (decimal(at, &length) || length > (uint64_t)(end - at) || at + length <= space + 1 || at[length - 1] != '\n') return malformed(p);
    char *key = space + 1, *stop = at + length - 1, *equals = memchr(key, '=', (size_t)(stop - key));
    if (!equals) return malformed(p);
    *equals = *stop = 0;
    if (apply_record(p, &sparse, stored_size, key, equals + 1, (size_t)(stop - equals - 1))) return -1;
    at += length;
  }
  p->entry.xattrs = p->xattrs;
  p->entry.xattr_count = p->xattr_count;
  return apply_sparse(p, &sparse, stored_size, map_in_data);
}
