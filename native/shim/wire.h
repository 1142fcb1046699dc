/* Length-prefixed binary messages, little-endian: what the daemon, the launcher and the shims say to each other, and plans.
 *
 *   u8 u32 u64   as they are
 *   string       u32 length, bytes, one 0 byte: decoded in place, never with a 0 inside
 *   blob         u32 length, bytes
 *   list         u32 count, items
 *
 * A reader that meets anything else turns bad and stays so; every value read from it afterwards is zero or empty. */
#ifndef GANTRY_WIRE_H
#define GANTRY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

struct blob {
  const uint8_t *bytes;
  uint32_t length;
};

struct reader reader_of(const void *bytes, size_t length);
uint8_t read_u8(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
/* 0 or 1; anything else is bad. */
bool read_bool(struct reader *reader);
const char *read_string(struct reader *reader);
struct blob read_blob(struct reader *reader);
/* A reader of the next `length` bytes, which are skipped. */
struct reader read_part(struct reader *reader);
/* True when everything was read and nothing was bad. */
bool reader_done(const struct reader *reader);

struct writer {
  uint8_t *start;
  uint8_t *at;
  uint8_t *end;
  bool full;
};

struct writer writer_of(void *bytes, size_t length);
void write_u8(struct writer *writer, uint8_t value);
void write_u32(struct writer *writer, uint32_t value);
void write_u64(struct writer *writer, uint64_t value);
void write_string(struct writer *writer, const char *value);
void write_bytes(struct writer *writer, const void *bytes, size_t length);

/* Memory for decoded structures: one mapping, given back as a whole. Zeroed. */
struct arena {
  uint8_t *start;
  size_t used;
  size_t size;
};

int arena_open(struct arena *arena, size_t size);
/* NULL when it is used up. */
void *arena_take(struct arena *arena, size_t size);
void arena_close(struct arena *arena);

#endif
