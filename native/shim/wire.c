#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct reader reader_of(const void *bytes, size_t length) {
  return (struct reader){.at = bytes, .end = (const uint8_t *)bytes + length};
}

/* The next `length` bytes, or NULL. */
static const uint8_t *take(struct reader *reader, size_t length) {
  if (reader->bad || (size_t)(reader->end - reader->at) < length) {
    reader->bad = true;
    return NULL;
  }
  const uint8_t *bytes = reader->at;
  reader->at += length;
  return bytes;
}

uint8_t read_u8(struct reader *reader) {
  const uint8_t *bytes = take(reader, 1);
  return bytes ? bytes[0] : 0;
}

uint32_t read_u32(struct reader *reader) {
  const uint8_t *bytes = take(reader, 4);
  return bytes ? (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24 : 0;
}

uint64_t read_u64(struct reader *reader) {
  uint64_t low = read_u32(reader);
  return low | (uint64_t)read_u32(reader) << 32;
}

bool read_bool(struct reader *reader) {
  uint8_t value = read_u8(reader);
  if (value > 1) reader->bad = true;
  return value == 1;
}

const char *read_string(struct reader *reader) {
  uint32_t length = read_u32(reader);
  const uint8_t *bytes = take(reader, (size_t)length + 1);
  if (!bytes) return "";
  if (memchr(bytes, 0, (size_t)length + 1) != bytes + length) {
    reader->bad = true;
    return "";
  }
  return (const char *)bytes;
}

struct blob read_blob(struct reader *reader) {
  uint32_t length = read_u32(reader);
  const uint8_t *bytes = take(reader, length);
  return bytes ? (struct blob){bytes, length} : (struct blob){NULL, 0};
}

struct reader read_part(struct reader *reader) {
  struct blob blob = read_blob(reader);
  struct reader part = reader_of(blob.bytes, blob.length);
  part.bad = reader->bad;
  return part;
}

bool reader_done(const struct reader *reader) {
  return !reader->bad && reader->at == reader->end;
}

struct writer writer_of(void *bytes, size_t length) {
  return (struct writer){.start = bytes, .at = bytes, .end = (uint8_t *)bytes + length};
}

void write_bytes(struct writer *writer, const void *bytes, size_t length) {
  if (writer->full || (size_t)(writer->end - writer->at) < length) {
    writer->full = true;
    return;
  }
  memcpy(writer->at, bytes, length);
  writer->at += length;
}

void write_u8(struct writer *writer, uint8_t value) { write_bytes(writer, &value, 1); }

void write_u32(struct writer *writer, uint32_t value) {
  uint8_t bytes[4] = {value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24};
  write_bytes(writer, bytes, 4);
}

void write_u64(struct writer *writer, uint64_t value) {
  write_u32(writer, (uint32_t)value);
  write_u32(writer, (uint32_t)(value >> 32));
}

void write_string(struct writer *writer, const char *value) {
  size_t length = strlen(value);
  write_u32(writer, (uint32_t)length);
  write_bytes(writer, value, length + 1);
}

int arena_open(struct arena *arena, size_t size) {
  void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return -errno;
  *arena = (struct arena){.start = start, .size = size};
  return 0;
}

void *arena_take(struct arena *arena, size_t size) {
  size_t rounded = (size + 15) & ~(size_t)15;
  if (rounded < size || arena->size - arena->used < rounded) return NULL;
  void *taken = arena->start + arena->used;
  arena->used += rounded;
  return taken;
}

void arena_close(struct arena *arena) {
  if (arena->start) munmap(arena->start, arena->size);
  *arena = (struct arena){0};
}
