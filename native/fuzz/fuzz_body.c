/*
 * Fuzzes the chunks of a request's body: the bytes as they are, and a body made of them, well formed. Each is taken whole and in pieces
 * of random sizes, with data given back in between: all must tell the same data, and what is well formed must tell what it was made of.
 */
#define _GNU_SOURCE
#include "../addon/body_chunks.h"
#include "random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
  uint64_t hash, size;
  size_t used;
  bool over, bad;
};

static void check(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz_body: %s\n", what);
  abort();
}

static void tell(struct told *told, const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) told->hash = (told->hash ^ bytes[i]) * 0x100000001b3;
  told->size += size;
}

static struct told take(const uint8_t *bytes, size_t size, bool whole) {
  struct told told = {.hash = 0xcbf29ce484222325};
  struct body_chunks chunks = {0};
  while (told.used < size && !body_chunks_over(&chunks)) {
    size_t piece = whole ? size - told.used : 1 + random_number() % 9, data;
    if (piece > size - told.used) piece = size - told.used;
    ssize_t taken = body_chunks_take(&chunks, bytes + told.used, piece, &data);
    if (taken < 0) {
      told.bad = true;
      return told;
    }
    check((size_t)taken <= piece && data <= (size_t)taken, "more than there is");
    check(taken > 0, "no progress");
    size_t back = !whole && data ? random_number() % data : 0;
    body_chunks_untake(&chunks, back);
    told.used += (size_t)taken - back;
    tell(&told, bytes + told.used - (data - back), data - back);
  }
  told.over = body_chunks_over(&chunks);
  return told;
}

static void both(const uint8_t *bytes, size_t size, struct told *whole) {
  struct told pieces = take(bytes, size, false);
  *whole = take(bytes, size, true);
  check(whole->bad == pieces.bad && whole->over == pieces.over, "pieces end otherwise");
  check(whole->bad || whole->used == pieces.used, "pieces use otherwise");
  check(whole->hash == pieces.hash && whole->size == pieces.size, "pieces tell otherwise");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct told told, made = {.hash = 0xcbf29ce484222325};
  random_state = 0x9e3779b97f4a7c15 ^ size ^ (size ? bytes[0] : 0);
  both(bytes, size, &told);
  char *body = malloc(size * 20 + 64);
  size_t length = 0;
  for (size_t at = 0; at < size;) {
    size_t piece = 1 + random_number() % 40;
    if (piece > size - at) piece = size - at;
    length += (size_t)sprintf(body + length, random_number() % 2 ? "%zx\r\n" : "%zX;name=value\r\n", piece);
    memcpy(body + length, bytes + at, piece);
    length += piece;
    memcpy(body + length, "\r\n", 2);
    length += 2;
    at += piece;
  }
  length += (size_t)sprintf(body + length, random_number() % 2 ? "0\r\n\r\n" : "0\r\nName: value\r\n\r\n");
  memcpy(body + length, "GET", 3);
  both((uint8_t *)body, length + 3, &told);
  tell(&made, bytes, size);
  check(told.over && told.used == length && told.hash == made.hash && told.size == size, "a good body is told otherwise");
  free(body);
  return 0;
}
