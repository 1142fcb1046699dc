/* The chunks of an HTTP body (RFC 9112, section 7.1), as bytes come. */
#ifndef GANTRY_BODY_CHUNKS_H
#define GANTRY_BODY_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum body_chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_OVER };

/* Begins as zeros. */
struct body_chunks {
  enum body_chunk_state state;
  uint64_t left; /* of the chunk */
  unsigned digits, line;
};

static inline bool body_chunks_over(const struct body_chunks *chunks) { return chunks->state == CHUNK_OVER; }

/* Takes bytes up to the end of a run of data, or all of them, and says how many: the data is the last *data_size of those. -1: malformed. */
ssize_t body_chunks_take(struct body_chunks *chunks, const uint8_t *bytes, size_t size, size_t *data_size);
/* The last of the data taken, as if it had not been. */
void body_chunks_untake(struct body_chunks *chunks, size_t size);

#endif
