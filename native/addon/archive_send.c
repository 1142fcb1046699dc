#define _GNU_SOURCE
#include "archive_send.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TICK_MS = 500, PIECE = 16 << 20 };

/* 0 when there is room again. */
static int wait_for_room(const struct archive_send *s) {
  struct pollfd wait = {s->fd, POLLOUT, 0};
  if (*s->given_up) return errno = ECANCELED, -1;
  return poll(&wait, 1, TICK_MS) < 0 && errno != EINTR ? -1 : 0;
}

static ssize_t write_some(const struct archive_send *s, struct iovec *parts, size_t count) {
  if (!s->given_up) return writev(s->fd, parts, (int)count);
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  return sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int write_parts(const struct archive_send *s, struct iovec *parts, size_t count) {
  while (count) {
    ssize_t written = write_some(s, parts, count);
    if (written < 0) {
      if (errno == EINTR || (errno == EAGAIN && s->given_up && !wait_for_room(s))) continue;
      return -1;
    }
    size_t left = (size_t)written;
    for (; count && left >= parts->iov_len; parts++, count--) left -= parts->iov_len;
    if (!count) break;
    parts->iov_base = (uint8_t *)parts->iov_base + left;
    parts->iov_len -= left;
  }
  return 0;
}

static int write_chunk(struct archive_send *s, const uint8_t *bytes, size_t size) {
  char head[24];
  size_t total = s->filled + size;
  if (!total) return 0;
  size_t length = s->given_up ? (size_t)snprintf(head, sizeof head, "%zx\r\n", total) : 0;
  struct iovec parts[] = {{head, length}, {s->room, s->filled}, {(uint8_t *)bytes, size}, {"\r\n", s->given_up ? 2 : 0}};
  s->filled = 0;
  return write_parts(s, parts, 4);
}

int send_flush(struct archive_send *s) { return write_chunk(s, NULL, 0); }

int send_bytes(void *context, const uint8_t *bytes, size_t size) {
  struct archive_send *s = context;
  if (s->filled + size > SEND_ROOM) return write_chunk(s, bytes, size);
  memcpy(s->room + s->filled, bytes, size);
  s->filled += size;
  return 0;
}

/* Exactly as much as the chunk's head has said, also when the file has less by now. */
static int send_piece(struct archive_send *s, int fd, size_t size) {
  static const uint8_t zeros[4096];
  while (size) {
    ssize_t sent = sendfile(s->fd, fd, NULL, size);
    if (sent < 0 && errno == EAGAIN && !wait_for_room(s)) continue;
    if (sent < 0) return -1;
    if (sent == 0) {
      sent = size < sizeof zeros ? (ssize_t)size : (ssize_t)sizeof zeros;
      struct iovec part = {(uint8_t *)zeros, (size_t)sent};
      if (write_parts(s, &part, 1)) return -1;
    }
    size -= (size_t)sent;
  }
  return 0;
}

int send_file(void *context, int fd, uint64_t size) {
  struct archive_send *s = context;
  if (!s->given_up || size < SEND_ROOM) return 0;
  if (send_flush(s)) return -1;
  for (uint64_t left = size; left;) {
    char head[24];
    size_t piece = left < PIECE ? (size_t)left : PIECE;
    struct iovec before = {head, (size_t)snprintf(head, sizeof head, "%zx\r\n", piece)}, after = {"\r\n", 2};
    if (write_parts(s, &before, 1) || send_piece(s, fd, piece) || write_parts(s, &after, 1)) return -1;
    left -= piece;
  }
  return 1;
}
