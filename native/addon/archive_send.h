/* Where an archive goes: a file or a pipe, or a connection, as chunks of an HTTP answer (RFC 9112, section 7.1). */
#ifndef GANTRY_ARCHIVE_SEND_H
#define GANTRY_ARCHIVE_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEND_ROOM = 64 << 10 };

struct archive_send {
  int fd;                        /* a connection does not block, the others do */
  const volatile int32_t *given_up; /* NULL: no connection. Not 0: nobody wants the rest */
  size_t filled;
  uint8_t room[SEND_ROOM];
};

/* As stream_output and tree_file, of archive.h. */
int send_bytes(void *context, const uint8_t *bytes, size_t size);
int send_file(void *context, int fd, uint64_t size);
/* What is still here. 0, or -1 with errno. */
int send_flush(struct archive_send *send);

#endif
