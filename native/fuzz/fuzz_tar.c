/*
 * Fuzzes the tar parser: with the bytes as they are, with the checksums in them made right, and with an archive made and
 * mutated here from them. Each archive is parsed whole and in pieces of random sizes: both must tell the sink the same. What
 * the sink is told is checked: data stays inside the entry and its budget, names end, attributes are readable.
 */
#define _GNU_SOURCE
#include "../addon/archive.h"
#include "random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tar_limits limits = {.bytes = 1 << 20, .entries = 1000, .metadata = 1 << 16};

struct told {
  uint64_t hash, size, entries, bytes;
  bool open;
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
  return hash;
}

static void check(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz_tar: %s\n", what);
  abort();
}

static int on_entry(void *context, const struct tar_entry *e) {
  struct told *told = context;
  char clean[4096];
  check(!told->open, "an entry inside an entry");
  check(++told->entries <= limits.entries, "too many entries");
  told->open = true;
  told->size = e->size;
  told->hash = mix(told->hash, e->path, strlen(e->path) + 1);
  told->hash = mix(told->hash, e->link, strlen(e->link) + 1);
  int64_t numbers[] = {e->type, e->mode, e->uid, e->gid, e->mtime, e->mtime_nsec, e->dev_major, e->dev_minor, (int64_t)e->size};
  told->hash = mix(told->hash, numbers, sizeof numbers);
  check(e->mtime_nsec < 1000000000, "nanoseconds");
  for (size_t i = 0; i < e->xattr_count; i++) {
    told->hash = mix(told->hash, e->xattrs[i].name, strlen(e->xattrs[i].name));
    told->hash = mix(told->hash, e->xattrs[i].value, e->xattrs[i].size);
  }
  if (!extract_clean(e->path, clean, 64)) {
    check(clean[0] != '/' && strlen(clean) < 4096, "a cleaned name is absolute or too long");
    for (const char *at = clean; *at; at += strcspn(at, "/"), at += *at == '/') {
      size_t size = strcspn(at, "/");
      check(size > 0 && !(size == 1 && at[0] == '.') && !(size == 2 && at[0] == '.' && at[1] == '.'), "a cleaned name has a dot component");
    }
  }
  return 0;
}

static int on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t size) {
  struct told *told = context;
  check(told->open && offset <= INT64_MAX, "data outside an entry");
  check((told->bytes += size) <= limits.bytes, "more data than allowed");
  for (size_t i = 0; i < size; i++) {
    uint64_t at = offset + i;
    told->hash += mix(at * 31, bytes + i, 1); /* the same however it was cut */
  }
  return 0;
}

static int on_end(void *context) {
  struct told *told = context;
  check(told->open, "an end without an entry");
  told->open = false;
  return 0;
}

static struct told parse(const uint8_t *bytes, size_t size, bool whole, int *result) {
  struct told told = {.hash = 0xcbf29ce484222325};
  struct tar_parser parser;
  tar_init(&parser, (struct tar_sink){&told, on_entry, on_data, on_end}, limits);
  *result = 0;
  for (size_t at = 0; !*result && at < size;) {
    size_t piece = whole ? size : 1 + random_number() % 700;
    if (piece > size - at) piece = size - at;
    /* An allocation of its own: reading past it is seen. */
    uint8_t *copy = malloc(piece);
    memcpy(copy, bytes + at, piece);
    *result = tar_push(&parser, copy, piece);
    free(copy);
    at += piece;
  }
  if (!*result) *result = tar_finish(&parser);
  check(!*result || parser.error.number, "a failure without a reason");
  tar_free(&parser);
  return told;
}

static void once(const uint8_t *bytes, size_t size) {
  int whole_result, cut_result;
  struct told whole = parse(bytes, size, true, &whole_result), cut = parse(bytes, size, false, &cut_result);
  check(whole_result == cut_result, "pieces change the result");
  /* After a failure the data told before it may differ in length: entries do not. */
  check(whole.entries == cut.entries && (whole_result || whole.hash == cut.hash), "pieces change what is told");
}

/* ---- archives to begin with ---- */

struct archive {
  uint8_t bytes[1 << 16];
  size_t size;
};

static void checksum(uint8_t *block) {
  unsigned sum = 0;
  memset(block + 148, ' ', 8);
  for (size_t i = 0; i < 512; i++) sum += block[i];
  snprintf((char *)block + 148, 8, "%06o", sum % 01000000);
}

static uint8_t *add(struct archive *a, const char *name, char type, const void *data, size_t size) {
  size_t stored = (size + 511) / 512 * 512;
  if (a->size + 512 + stored + 1024 > sizeof a->bytes) return a->bytes;
  uint8_t *block = a->bytes + a->size;
  memset(block, 0, 512 + stored);
  snprintf((char *)block, 100, "%s", name);
  snprintf((char *)block + 100, 8, "%07o", 0644);
  snprintf((char *)block + 108, 8, "%07o", 1000);
  snprintf((char *)block + 116, 8, "%07o", 1000);
  snprintf((char *)block + 124, 12, "%011zo", size);
  snprintf((char *)block + 136, 12, "%011o", 123456);
  block[156] = (uint8_t)type;
  memcpy(block + 257, random_number() % 4 ? "ustar\00000" : "ustar  \0", 8);
  memcpy(block + 512, data, size);
  checksum(block);
  a->size += 512 + stored;
  return block;
}

static void add_record(char *room, size_t most, const char *key, const char *value) {
  char record[600];
  size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
  while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length)) length = rest + (size_t)snprintf(NULL, 0, "%zu", length);
  snprintf(record, sizeof record, "%zu %s=%s\n", length, key, value);
  size_t used = strlen(room);
  snprintf(room + used, most - used, "%s", record);
}

static void add_pax(struct archive *a) {
  static const char *const records[][2] = {
      {"path", "a/long/../path/./name"}, {"linkpath", "../target"}, {"size", "700"}, {"uid", "4294967296"}, {"gid", "-5"}, {"mtime", "-1.000000001"},
      {"SCHILY.xattr.user.a", "value"}, {"SCHILY.xattr.trusted.overlay.opaque", "y"}, {"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"},
      {"GNU.sparse.realsize", "100000"}, {"GNU.sparse.name", "sparse"}, {"GNU.sparse.map", "0,10,4096,20"}, {"GNU.sparse.size", "9000"},
      {"GNU.sparse.offset", "5"}, {"GNU.sparse.numbytes", "6"}, {"GNU.sparse.numblocks", "1"}, {"comment", ""},
  };
  char room[4000] = "";
  for (uint64_t count = random_number() % 6; count; count--) {
    const char *const *record = records[random_number() % (sizeof records / sizeof *records)];
    add_record(room, sizeof room, record[0], record[1]);
  }
  add(a, "pax", random_number() % 8 ? 'x' : 'g', room, strlen(room));
}

static void add_random(struct archive *a) {
  static const char types[] = "0123456075SVxgLK";
  char data[2000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (char)("0123456789\n ,ab"[random_number() % 15]);
  if (random_number() % 3 == 0) add_pax(a);
  if (random_number() % 6 == 0) add(a, "././@LongLink", random_number() % 2 ? 'L' : 'K', data, random_number() % 300);
  char type = types[random_number() % (sizeof types - 1)];
  uint8_t *block = add(a, random_number() % 2 ? "dir/file" : ".wh.x", type, data, type == '0' || type == 'S' ? random_number() % sizeof data : 0);
  if (type == 'S') {
    for (size_t i = 0; i < 4; i++) snprintf((char *)block + 386 + i * 24, 24, "%011o", (unsigned)(i * 1024)), snprintf((char *)block + 398 + i * 24, 12, "%011o", (unsigned)(random_number() % 600));
    block[482] = random_number() % 3 == 0;
    snprintf((char *)block + 483, 12, "%011o", 100000u);
    checksum(block);
  }
}

static void mutate(struct archive *a) {
  for (uint64_t count = random_number() % 5; count && a->size; count--) {
    size_t at = random_number() % a->size, block = at / 512 * 512;
    switch (random_number() % 5) {
      case 0: a->bytes[at] ^= (uint8_t)(1 << random_number() % 8); break;
      case 1: a->bytes[at] = (uint8_t)random_number(); break;
      case 2: memset(a->bytes + at, 0xff, a->size - at < 12 ? a->size - at : 12); break;
      case 3: a->size = at; break;
      default: a->bytes[at] = (uint8_t)"0179 =\n/.\0"[random_number() % 10];
    }
    /* Mostly with a right checksum, or nothing behind it is reached. */
    if (block + 512 <= a->size && random_number() % 8) checksum(a->bytes + block);
  }
}

/* The same bytes with right checksums wherever a header seems to be: without, little behind one is reached. */
static void repaired(const uint8_t *bytes, size_t size) {
  uint8_t *copy = malloc(size);
  if (!copy) return;
  memcpy(copy, bytes, size);
  for (size_t at = 0; at + 512 <= size; at += 512)
    if (!memcmp(copy + at + 257, "ustar", 5)) checksum(copy + at);
  once(copy, size);
  free(copy);
}

static void made(const uint8_t *bytes, size_t size) {
  static struct archive a;
  random_state = mix(0xcbf29ce484222325, bytes, size) | 1;
  a.size = 0;
  for (uint64_t entries = 1 + random_number() % 4; entries; entries--) add_random(&a);
  if (random_number() % 2) {
    memset(a.bytes + a.size, 0, 1024);
    a.size += 1024;
  }
  mutate(&a);
  once(a.bytes, a.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  random_state = 0x9e3779b97f4a7c15;
  once(bytes, size);
  if (size) repaired(bytes, size);
  made(bytes, size);
  return 0;
}
