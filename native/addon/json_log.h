/* The decoder of json-file logs, free of N-API so that it can be fuzzed alone. */
#ifndef GANTRY_JSON_LOG_H
#define GANTRY_JSON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_log_options {
  bool out, err;      /* which streams */
  bool frames;        /* put Docker's 8-byte stream header before each record */
  bool timestamps;    /* RFC 3339 with nine digits and a space before each record */
  bool details;       /* the record's attributes, as k=v,k=v (query-escaped), and a space before each record */
  int64_t since;      /* nanoseconds since 1970; earlier records are left out; INT64_MIN: all */
  int64_t until;      /* later records end the decoding; INT64_MAX: none */
};

struct json_log_result {
  size_t consumed;    /* bytes of whole lines used up */
  size_t produced;    /* bytes written to output */
  size_t records;     /* records written to output */
  bool past_until;    /* a record after `until` was met: nothing further is wanted */
  bool output_full;   /* the next line did not fit */
};

/* Decodes whole lines of `input`. A line that is no record (a torn write) is skipped. */
void json_log_decode(const uint8_t *input, size_t length, uint8_t *output, size_t capacity,
                     const struct json_log_options *options, struct json_log_result *result);

/* The time of one line in nanoseconds, or INT64_MIN when it is no record. */
int64_t json_log_line_time(const uint8_t *line, size_t length);

#endif
