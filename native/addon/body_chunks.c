#include "body_chunks.h"

enum { MOST_LINE = 4096, MOST_DIGITS = 15 };

static int hex_of(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  digit |= 0x20;
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* After a size's line: data, or what follows the last chunk. */
static int line_ended(struct body_chunks *chunks) {
  if (!chunks->digits) return -1;
  chunks->state = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
  chunks->digits = chunks->line = 0;
  return 0;
}

static int take_size(struct body_chunks *chunks, uint8_t byte) {
  int digit = hex_of(byte);
  if (byte == '\n') return line_ended(chunks);
  if (digit < 0) {
    if (byte != '\r' && byte != ';' && byte != ' ' && byte != '\t') return -1;
    chunks->state = CHUNK_EXTENSION;
    return 0;
  }
  if (++chunks->digits > MOST_DIGITS) return -1;
  chunks->left = chunks->left << 4 | (uint64_t)digit;
  return 0;
}

static int take_data_end(struct body_chunks *chunks, uint8_t byte) {
  if (byte != (chunks->line == 1 ? '\r' : '\n')) return -1;
  if (chunks->line == 2) {
    chunks->state = CHUNK_SIZE;
    chunks->line = 0;
  }
  return 0;
}

/* The trailer's fields are nobody's; an empty line ends it. digits counts the characters of the line. */
static int take_trailer(struct body_chunks *chunks, uint8_t byte) {
  if (byte == '\n' && !chunks->digits) chunks->state = CHUNK_OVER;
  if (byte == '\n') chunks->digits = 0;
  else if (byte != '\r') chunks->digits++;
  return 0;
}

/* One byte of what is between the data. */
static int take(struct body_chunks *chunks, uint8_t byte) {
  if (++chunks->line > MOST_LINE) return -1;
  switch (chunks->state) {
    case CHUNK_SIZE: return take_size(chunks, byte);
    case CHUNK_EXTENSION: return byte == '\n' ? line_ended(chunks) : 0;
    case CHUNK_DATA_END: return take_data_end(chunks, byte);
    case CHUNK_TRAILER: return take_trailer(chunks, byte);
    default: return -1;
  }
}

ssize_t body_chunks_take(struct body_chunks *chunks, const uint8_t *bytes, size_t size, size_t *data_size) {
  size_t at = 0;
  *data_size = 0;
  while (at < size && chunks->state != CHUNK_OVER && chunks->state != CHUNK_DATA)
    if (take(chunks, bytes[at++])) return -1;
  if (chunks->state != CHUNK_DATA) return (ssize_t)at;
  *data_size = size - at < chunks->left ? size - at : (size_t)chunks->left;
  chunks->left -= *data_size;
  if (!chunks->left) chunks->state = CHUNK_DATA_END;
  return (ssize_t)(at + *data_size);
}

void body_chunks_untake(struct body_chunks *chunks, size_t size) {
  if (!size) return;
  chunks->left += size;
  chunks->state = CHUNK_DATA;
}
