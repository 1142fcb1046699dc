/* The container's log in Docker's json-file format. Lines end at "\n" or after LINE_MAX_BYTES; what has no end yet waits, in its
 * own small memory, for more. */
#ifndef GANTRY_LOGFILE_H
#define GANTRY_LOGFILE_H

#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 16384

struct logfile {
  /* -1: nothing is logged. */
  int fd;
  const char *path;
  /* A JSON object, or "". */
  char *attributes;
  /* 0: no limit. */
  uint64_t max_bytes;
  uint32_t max_files;
  uint64_t size;
  /* Lines that could not be written: disk full. */
  uint64_t lost;
  uint8_t *buffer;
  size_t used;
  /* Where in the buffer the line that is being made starts. */
  size_t line_start;
};

/* One source of lines, stdout or stderr. */
struct log_stream {
  const char *name;
  char *carry;
  uint32_t carry_length;
  /* Parts of a long line have the time of the first part. */
  bool partial;
  uint64_t partial_time;
};

/* 0 or -errno; path must stay, attributes are from malloc and the log's from then on. */
int logfile_open(struct logfile *log, const char *path, char *attributes, uint64_t max_bytes, uint32_t max_files);
/* Other attributes, bytes and files at most, which the reader has in this order; files beyond go. 0 or -errno: then nothing has changed. */
int logfile_change(struct logfile *log, struct reader *reader);
/* Logs `length` bytes; everything is written to the file when it returns. */
void logfile_append(struct logfile *log, struct log_stream *stream, const char *bytes, size_t length);
/* Logs what waits for its end of line. */
void logfile_end_stream(struct logfile *log, struct log_stream *stream);
/* Gives the buffer back. */
void logfile_rest(struct logfile *log);

#endif
