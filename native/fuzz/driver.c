/* A main for fuzz targets where no fuzzing engine is at hand: mutates a corpus for some seconds. The targets are libFuzzer's
 * (LLVMFuzzerTestOneInput); with clang, -fsanitize=fuzzer takes this file's place.
 *
 *   TARGET SECONDS CORPUS_FOLDER [SEED]   mutates; prints the number of executions and the seed
 *   TARGET FILE...                        runs each file once: to reproduce
 *
 * What runs is kept in ./crash-TARGET, padded to INPUT_MAX with its length behind it; gone when all went well. */
#define _GNU_SOURCE
#include "random.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define CORPUS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
  uint8_t *bytes;
  size_t size;
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_count;
static size_t below(size_t limit) { return limit ? (size_t)(random_number() % limit) : 0; }

static struct input read_input(const char *path) {
  struct input input = {malloc(INPUT_MAX), 0};
  FILE *file = fopen(path, "rb");
  if (!file || !input.bytes) {
    perror(path);
    exit(1);
  }
  input.size = fread(input.bytes, 1, INPUT_MAX, file);
  /* A kept crash has its length behind it. */
  size_t size;
  if (input.size == INPUT_MAX && fread(&size, 1, sizeof size, file) == sizeof size && size < INPUT_MAX) input.size = size;
  fclose(file);
  return input;
}

static void read_corpus(const char *folder) {
  DIR *dir = opendir(folder);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] != '.' && corpus_count < CORPUS_MAX) corpus[corpus_count++] = read_input(path);
  }
  if (dir) closedir(dir);
  if (!corpus_count) corpus[corpus_count++] = (struct input){calloc(1, INPUT_MAX), 16};
}

static void put_u32(uint8_t *bytes, size_t size, size_t at) {
  static const uint32_t values[] = {0, 1, 2, 5, 127, 255, 256, 4095, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  uint32_t value = random_number() % 3 ? values[below(sizeof values / sizeof *values)] : (uint32_t)below(size + 2);
  if (at + 4 <= size) memcpy(bytes + at, &value, 4);
}

static void mutate_once(struct input *input) {
  uint8_t *bytes = input->bytes;
  size_t at = below(input->size), length = 1 + below(64);
  if (!input->size) return;
  switch (below(8)) {
  case 0:
    bytes[at] ^= (uint8_t)(1 << below(8));
    break;
  case 1:
    bytes[at] = (uint8_t)random_number();
    break;
  case 2:
  case 3:
    put_u32(bytes, input->size, at);
    break;
  case 4:
    input->size = at;
    break;
  case 5: /* repeat a piece */
    if (at + length > input->size) length = input->size - at;
    if (input->size + length > INPUT_MAX) break;
    memmove(bytes + at + length, bytes + at, input->size - at);
    input->size += length;
    break;
  case 6: /* cut one out */
    if (at + length > input->size) length = input->size - at;
    memmove(bytes + at, bytes + at + length, input->size - at - length);
    input->size -= length;
    break;
  default: { /* take one from elsewhere */
    const struct input *other = &corpus[below(corpus_count)];
    size_t from = below(other->size);
    if (length > other->size - from) length = other->size - from;
    if (length > input->size - at) length = input->size - at;
    memcpy(bytes + at, other->bytes + from, length);
  }
  }
}

static void run(const uint8_t *bytes, size_t size) {
  /* An exact allocation, so that one byte too far is seen. */
  uint8_t *exact = malloc(size ? size : 1);
  if (!exact) exit(1);
  memcpy(exact, bytes, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
}

static int fuzz(const char *name, int seconds, const char *folder, uint64_t seed) {
  char crash[PATH_MAX];
  snprintf(crash, sizeof crash, "crash-%s", name);
  FILE *file = fopen(crash, "wb+");
  if (!file || ftruncate(fileno(file), INPUT_MAX + 8)) return perror(crash), 1;
  uint8_t *kept = mmap(NULL, INPUT_MAX + 8, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
  if (kept == MAP_FAILED) return perror(crash), 1;
  read_corpus(folder);
  random_state = seed * 0x9e3779b97f4a7c15 | 1;
  uint64_t runs = 0;
  struct input input = {kept, 0};
  for (time_t end = time(NULL) + seconds; time(NULL) < end; runs++) {
    const struct input *from = &corpus[runs < corpus_count ? runs : below(corpus_count)];
    memcpy(input.bytes, from->bytes, input.size = from->size);
    for (size_t count = runs < corpus_count ? 0 : 1 + below(6); count; count--) mutate_once(&input);
    memcpy(kept + INPUT_MAX, &input.size, sizeof input.size);
    run(input.bytes, input.size);
  }
  unlink(crash);
  printf("%s: %llu executions, seed %llu\n", name, (unsigned long long)runs, (unsigned long long)seed);
  return 0;
}

int main(int count, char **arguments) {
  const char *slash = strrchr(arguments[0], '/'), *name = slash ? slash + 1 : arguments[0];
  if (count >= 3 && arguments[1][strspn(arguments[1], "0123456789")] == 0)
    return fuzz(name, atoi(arguments[1]), arguments[2], count > 3 ? strtoull(arguments[3], NULL, 10) : (uint64_t)time(NULL));
  for (int i = 1; i < count; i++) {
    struct input input = read_input(arguments[i]);
    run(input.bytes, input.size);
    free(input.bytes);
  }
  return 0;
}
