#define _GNU_SOURCE
#include "failure.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void copy_text(char *into, size_t size, const char *text) {
  size_t length = strnlen(text, size - 1);
  memcpy(into, text, length);
  into[length] = 0;
}

int fail(struct failure *failure, int error, const char *step, const char *subject) {
  failure->error = error;
  copy_text(failure->step, sizeof failure->step, step);
  copy_text(failure->subject, sizeof failure->subject, subject);
  return -1;
}

int fail_errno(struct failure *failure, const char *step, const char *subject) { return fail(failure, errno, step, subject); }

void write_failure(struct writer *writer, const struct failure *failure) {
  write_u32(writer, (uint32_t)failure->error);
  write_u8(writer, failure->section);
  write_u32(writer, failure->index);
  write_string(writer, failure->step);
  write_string(writer, failure->subject);
}

bool read_failure(struct reader *reader, struct failure *failure) {
  failure->error = (int)read_u32(reader);
  failure->section = read_u8(reader);
  failure->index = read_u32(reader);
  copy_text(failure->step, sizeof failure->step, read_string(reader));
  copy_text(failure->subject, sizeof failure->subject, read_string(reader));
  return !reader->bad;
}

uint64_t clock_nanoseconds(int clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void timings_start(struct timings *timings, bool wanted) {
  timings->wanted = wanted;
  timings->count = 0;
  if (wanted) timings->last = clock_nanoseconds(CLOCK_MONOTONIC);
}

void timings_mark(struct timings *timings, uint8_t section, uint32_t index) {
  if (!timings->wanted || timings->count == TIMINGS_MAX) return;
  uint64_t now = clock_nanoseconds(CLOCK_MONOTONIC);
  timings->items[timings->count++] = (struct timing){section, index, (uint32_t)(now - timings->last)};
  timings->last = now;
}

void write_timings(struct writer *writer, const struct timings *timings) {
  write_u32(writer, timings->count);
  for (uint32_t i = 0; i < timings->count; i++) {
    write_u8(writer, timings->items[i].section);
    write_u32(writer, timings->items[i].index);
    write_u32(writer, timings->items[i].nanoseconds);
  }
}
