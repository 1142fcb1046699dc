/* The tar parser: ustar, GNU, PAX, star and v7 archives, pushed in pieces of any size. Rules where formats disagree are those
 * of Go's archive/tar, which made and reads nearly all image layers. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int archive_fail(struct archive_error *error, int number, const char *path, const char *text) {
  if (error->number) return -1;
  error->number = number;
  snprintf(error->text, sizeof error->text, "%s", text);
  snprintf(error->path, sizeof error->path, "%s", path ? path : "");
  return -1;
}

static int malformed(struct tar_parser *p, const char *text) { return archive_fail(&p->error, EBADMSG, p->entry.path, text); }
static int too_much(struct tar_parser *p, const char *text) { return archive_fail(&p->error, E2BIG, p->entry.path, text); }

void tar_init(struct tar_parser *p, struct tar_sink sink, struct tar_limits limits) {
  memset(p, 0, sizeof *p);
  p->sink = sink;
  p->limits = limits;
}

void tar_free(struct tar_parser *p) {
  free(p->pax.bytes);
  free(p->long_name.bytes);
  free(p->long_link.bytes);
  free(p->xattrs);
  free(p->segments);
  memset(p, 0, sizeof *p);
}

static int append(struct tar_parser *p, struct tar_buffer *buffer, const uint8_t *bytes, size_t size) {
  if (buffer->size + size > p->limits.metadata) return too_much(p, "extended header is too large");
  if (buffer->size + size + 1 > buffer->room) {
    size_t room = (buffer->size + size + 1) * 2;
    char *grown = realloc(buffer->bytes, room);
    if (!grown) return archive_fail(&p->error, ENOMEM, "", "out of memory");
    buffer->bytes = grown;
    buffer->room = room;
  }
  memcpy(buffer->bytes + buffer->size, bytes, size);
  buffer->size += size;
  buffer->bytes[buffer->size] = 0;
  return 0;
}

/* Octal with leading spaces and trailing spaces or NULs, or base-256 in two's complement. */
static int number(const uint8_t *field, size_t size, int64_t *value) {
  if (field[0] & 0x80) {
    uint64_t invert = field[0] & 0x40 ? UINT64_MAX : 0, total = 0;
    for (size_t i = 0; i < size; i++) {
      uint8_t byte = (uint8_t)(field[i] ^ (uint8_t)invert);
      if (i == 0) byte &= 0x7f;
      if (total >> 56) return -1;
      total = total << 8 | byte;
    }
    if (total >> 63) return -1;
    *value = invert ? (int64_t)~total : (int64_t)total;
    return 0;
  }
  size_t i = 0;
  while (i < size && (field[i] == ' ' || field[i] == 0)) i++;
  uint64_t total = 0;
  for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
    if (total >> 60) return -1;
    total = total << 3 | (uint64_t)(field[i] - '0');
  }
  for (; i < size; i++)
    if (field[i] != ' ' && field[i] != 0) return -1;
  *value = (int64_t)total;
  return 0;
}

static bool checksum_matches(const uint8_t *block) {
  int64_t expected;
  if (number(block + 148, 8, &expected)) return false;
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < 512; i++) {
    uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];
    plain += byte;
    with_sign += (int8_t)byte;
  }
  return expected == plain || expected == with_sign;
}

int tar_add_segment(struct tar_parser *p, uint64_t offset, uint64_t size) {
  if (p->segment_count * sizeof(struct tar_segment) >= p->limits.metadata) return too_much(p, "sparse map is too large");
  if (p->segment_count == p->segment_room) {
    size_t room = p->segment_room ? p->segment_room * 2 : 16;
    struct tar_segment *grown = realloc(p->segments, room * sizeof *grown);
    if (!grown) return archive_fail(&p->error, ENOMEM, "", "out of memory");
    p->segments = grown;
    p->segment_room = room;
  }
  p->segments[p->segment_count++] = (struct tar_segment){offset, size};
  return 0;
}

/* In order, without overlap, inside the file, and as many bytes as the archive stores. */
static int check_segments(struct tar_parser *p) {
  uint64_t reached = 0, stored = 0;
  for (size_t i = 0; i < p->segment_count; i++) {
    struct tar_segment s = p->segments[i];
    if (s.offset < reached || s.offset > p->entry.size || s.size > p->entry.size - s.offset) return malformed(p, "invalid sparse map");
    reached = s.offset + s.size;
    stored += s.size;
  }
  return stored == p->remaining ? 0 : malformed(p, "sparse map does not match the stored size");
}

static void forget_entry(struct tar_parser *p) {
  p->has_pax = p->has_name = p->has_link = p->sparse = false;
  p->pax.size = p->long_name.size = p->long_link.size = 0;
  p->xattr_count = p->segment_count = p->segment = 0;
  p->segment_done = 0;
  memset(&p->entry, 0, sizeof p->entry);
}

static int finish_entry(struct tar_parser *p) {
  int result = p->sink.end(p->sink.context) ? -1 : 0;
  forget_entry(p);
  p->state = p->padding ? TAR_PADDING : TAR_HEADER;
  return result;
}

/* Header and maps are complete: tells the sink and goes on to the data. */
static int begin_data(struct tar_parser *p) {
  if (p->sparse && check_segments(p)) return -1;
  if (p->remaining > p->limits.bytes - p->bytes) return too_much(p, "archive is larger than allowed");
  p->bytes += p->remaining;
  if (p->sink.entry(p->sink.context, &p->entry)) return -1;
  if (p->remaining == 0) return finish_entry(p);
  p->state = TAR_DATA;
  return 0;
}

static size_t field_length(const uint8_t *field, size_t size) { return strnlen((const char *)field, size); }

static void read_names(struct tar_parser *p) {
  const uint8_t *b = p->block;
  bool ustar = !memcmp(b + 257, "ustar\0", 6), star = ustar && !memcmp(b + 508, "tar\0", 4);
  size_t prefix = ustar ? field_length(b + 345, star ? 131 : 155) : 0, name = field_length(b, 100), at = 0;
  if (prefix) {
    memcpy(p->path_room, b + 345, prefix);
    p->path_room[prefix] = '/';
    at = prefix + 1;
  }
  memcpy(p->path_room + at, b, name);
  p->path_room[at + name] = 0;
  size_t link = field_length(b + 157, 100);
  memcpy(p->link_room, b + 157, link);
  p->link_room[link] = 0;
  p->entry.path = p->path_room;
  p->entry.link = p->link_room;
}

/* The old GNU format keeps four segments in the header and more in blocks that follow. */
static int read_gnu_segments(struct tar_parser *p, const uint8_t *at, size_t most, bool *more) {
  for (size_t i = 0; i < most && at[i * 24]; i++) {
    int64_t offset, size;
    if (number(at + i * 24, 12, &offset) || number(at + i * 24 + 12, 12, &size) || offset < 0 || size < 0) return malformed(p, "invalid sparse map");
    if (tar_add_segment(p, (uint64_t)offset, (uint64_t)size)) return -1;
  }
  *more = at[most * 24] != 0;
  return 0;
}

static int begin_meta(struct tar_parser *p, char type, int64_t size) {
  if ((uint64_t)size > p->limits.metadata) return too_much(p, "extended header is too large");
  p->meta_type = type;
  p->remaining = (uint64_t)size;
  p->padding = (512 - p->remaining % 512) % 512;
  struct tar_buffer *into = type == 'L' ? &p->long_name : type == 'K' ? &p->long_link : &p->pax;
  if (type != 'g') into->size = 0;
  if (type == 'x') p->has_pax = true;
  if (type == 'L') p->has_name = true;
  if (type == 'K') p->has_link = true;
  p->state = p->remaining ? TAR_META : TAR_HEADER;
  return into->bytes ? 0 : append(p, into, (const uint8_t *)"", 0);
}

static int entry_type(struct tar_parser *p, char flag) {
  switch (flag) {
    case '0': case 0: case '7': case 'S': {
      size_t length = strlen(p->entry.path);
      return length && p->entry.path[length - 1] == '/' && flag != 'S' ? TAR_DIR : TAR_FILE;
    }
    case '1': case '2': case '3': case '4': case '5': case '6':
      return flag;
    default:
      return 0;
  }
}

static int read_header(struct tar_parser *p) {
  const uint8_t *b = p->block;
  if (!checksum_matches(b)) return malformed(p, "invalid tar header");
  int64_t size, mode, mtime, major = 0, minor = 0;
  if (number(b + 124, 12, &size) || size < 0) return malformed(p, "invalid size in tar header");
  char flag = (char)b[156];
  if (flag == 'x' || flag == 'X' || flag == 'g' || flag == 'L' || flag == 'K') return begin_meta(p, flag == 'X' ? 'x' : flag, size);
  read_names(p);
  struct tar_entry *e = &p->entry;
  if (++p->entries > p->limits.entries) return too_much(p, "archive has more entries than allowed");
  if (number(b + 100, 8, &mode) || number(b + 108, 8, &e->uid) || number(b + 116, 8, &e->gid) || number(b + 136, 12, &mtime)) return malformed(p, "invalid number in tar header");
  if (flag == '3' || flag == '4') {
    if (number(b + 329, 8, &major) || number(b + 337, 8, &minor)) return malformed(p, "invalid device number in tar header");
    if (major < 0 || minor < 0 || major > UINT32_MAX || minor > UINT32_MAX) return malformed(p, "invalid device number in tar header");
  }
  e->mode = (uint32_t)mode & 07777;
  e->mtime = mtime;
  e->dev_major = (uint32_t)major;
  e->dev_minor = (uint32_t)minor;
  uint64_t stored = (uint64_t)size;
  bool map_in_data = false, more = false;
  e->size = stored;
  if (p->has_pax && tar_apply_pax(p, &stored, &map_in_data)) return -1;
  if (p->long_name.size) e->path = p->long_name.bytes;
  if (p->long_link.size) e->link = p->long_link.bytes;
  if (!p->sparse) e->size = stored;
  int type = entry_type(p, flag);
  if (!type) return malformed(p, "unknown kind of tar entry");
  e->type = (enum tar_type)type;
  if (type != TAR_FILE) {
    if (p->sparse) return malformed(p, "sparse entry that is not a file");
    stored = e->size = flag >= '1' && flag <= '6' ? 0 : stored;
  }
  p->remaining = stored;
  p->padding = (512 - stored % 512) % 512;
  if (flag == 'S') {
    int64_t real;
    if (number(b + 483, 12, &real) || real < 0) return malformed(p, "invalid sparse size");
    p->sparse = true;
    e->size = (uint64_t)real;
    if (read_gnu_segments(p, b + 386, 4, &more)) return -1;
    if (more) {
      p->state = TAR_SPARSE_HEADER;
      return 0;
    }
  }
  if (map_in_data) {
    p->segment_count = 0;
    p->map = (struct tar_map){.wanted = 1};
    p->state = TAR_SPARSE_MAP;
    return 0;
  }
  return begin_data(p);
}

static int on_header(struct tar_parser *p) {
  static const uint8_t zeros[512];
  if (!memcmp(p->block, zeros, 512)) {
    if (p->zero_block) p->state = TAR_ENDED;
    p->zero_block = true;
    return 0;
  }
  if (p->zero_block) return malformed(p, "invalid tar header");
  return read_header(p);
}

static int on_sparse_header(struct tar_parser *p) {
  bool more = false;
  if (read_gnu_segments(p, p->block, 21, &more)) return -1;
  return more ? 0 : begin_data(p);
}

/* The next number of a PAX 1.0 map: how many parts, then the offset and size of each. */
static int on_map_number(struct tar_parser *p) {
  struct tar_map *m = &p->map;
  if (!m->digits) return malformed(p, "invalid sparse map");
  if (m->seen == 0) {
    if (m->value > p->limits.metadata) return too_much(p, "sparse map is too large");
    m->wanted = 1 + m->value * 2;
  } else if (m->seen % 2) {
    m->offset = m->value;
  } else if (tar_add_segment(p, m->offset, m->value)) {
    return -1;
  }
  m->seen++;
  m->value = m->digits = 0;
  return 0;
}

/* Decimal lines at the start of the data; the data goes on at the next block. */
static int on_sparse_map(struct tar_parser *p) {
  struct tar_map *m = &p->map;
  if (p->remaining < 512) return malformed(p, "invalid sparse map");
  p->remaining -= 512;
  for (size_t at = 0; at < 512 && m->seen < m->wanted; at++) {
    uint8_t c = p->block[at];
    if (c == '\n') {
      if (on_map_number(p)) return -1;
    } else {
      if (c < '0' || c > '9' || ++m->digits > 18) return malformed(p, "invalid sparse map");
      m->value = m->value * 10 + (uint64_t)(c - '0');
    }
  }
  return m->seen < m->wanted ? 0 : begin_data(p);
}

/* Passes on what belongs to the file, at its place in it. */
static int on_data(struct tar_parser *p, const uint8_t *bytes, size_t size) {
  p->remaining -= size;
  while (size) {
    uint64_t offset = p->segment_done;
    size_t piece = size;
    if (p->sparse) {
      while (p->segments[p->segment].size == p->segment_done) {
        p->segment++;
        p->segment_done = 0;
      }
      struct tar_segment s = p->segments[p->segment];
      offset = s.offset + p->segment_done;
      if (s.size - p->segment_done < piece) piece = (size_t)(s.size - p->segment_done);
    }
    if (p->sink.data(p->sink.context, offset, bytes, piece)) return -1;
    p->segment_done += piece;
    bytes += piece;
    size -= piece;
  }
  return p->remaining ? 0 : finish_entry(p);
}

static int on_meta(struct tar_parser *p, const uint8_t *bytes, size_t size) {
  struct tar_buffer *into = p->meta_type == 'L' ? &p->long_name : p->meta_type == 'K' ? &p->long_link : &p->pax;
  /* Global headers are skipped, as Docker does. */
  if (p->meta_type != 'g' && append(p, into, bytes, size)) return -1;
  p->remaining -= size;
  if (p->remaining == 0) p->state = p->padding ? TAR_PADDING : TAR_HEADER;
  return 0;
}

static int on_block(struct tar_parser *p) {
  p->filled = 0;
  switch (p->state) {
    case TAR_HEADER: return on_header(p);
    case TAR_SPARSE_HEADER: return on_sparse_header(p);
    default: return on_sparse_map(p);
  }
}

int tar_push(struct tar_parser *p, const uint8_t *bytes, size_t size) {
  while (size) {
    size_t taken;
    if (p->state == TAR_ENDED) return 0;
    if (p->state == TAR_DATA || p->state == TAR_META) {
      taken = p->remaining < size ? (size_t)p->remaining : size;
      if (p->state == TAR_DATA ? on_data(p, bytes, taken) : on_meta(p, bytes, taken)) return -1;
    } else if (p->state == TAR_PADDING) {
      taken = p->padding < size ? (size_t)p->padding : size;
      p->padding -= taken;
      if (!p->padding) p->state = TAR_HEADER;
    } else {
      taken = 512 - p->filled < size ? 512 - p->filled : size;
      memcpy(p->block + p->filled, bytes, taken);
      p->filled += taken;
      if (p->filled == 512 && on_block(p)) return -1;
    }
    bytes += taken;
    size -= taken;
  }
  return 0;
}

int tar_finish(struct tar_parser *p) {
  if (p->state == TAR_ENDED) return 0;
  if (p->state == TAR_HEADER && p->filled == 0 && !p->has_pax && !p->has_name && !p->has_link) return 0;
  return malformed(p, "unexpected EOF");
}
