#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <unistd.h>

/* 0, or -1 at the end and on errors. */
int read_exactly(int fd, void *into, size_t length) {
  for (uint8_t *at = into; length;) {
    ssize_t got = read(fd, at, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return -1;
    at += got, length -= (size_t)got;
  }
  return 0;
}

int write_wholly(int fd, const void *bytes, size_t length) {
  for (const uint8_t *at = bytes; length;) {
    ssize_t wrote = write(fd, at, length);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return -1;
    at += wrote, length -= (size_t)wrote;
  }
  return 0;
}
