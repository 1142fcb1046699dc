#define _GNU_SOURCE
#include "json_log.h"

#include <limits.h>
#include <string.h>

/* One record's parts as they lie in the line, strings still escaped. */
struct record {
  const uint8_t *text, *text_end;
  const uint8_t *attributes, *attributes_end;
  int64_t time;
  bool is_err;
};

struct writer {
  uint8_t *at, *end;
  bool overflow;
};

static void put(struct writer *writer, uint8_t byte) {
  if (writer->at < writer->end) *writer->at++ = byte;
  else writer->overflow = true;
}

static void put_bytes(struct writer *writer, const void *bytes, size_t length) {
  if ((size_t)(writer->end - writer->at) < length) {
    writer->overflow = true;
    return;
  }
  memcpy(writer->at, bytes, length);
  writer->at += length;
}

/* After the closing quote of the string whose first character is at `at`; NULL when it does not end. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    const uint8_t *quote = memchr(at, '"', (size_t)(end - at));
    if (!quote) return NULL;
    const uint8_t *slashes = quote;
    while (slashes > at && slashes[-1] == '\\') slashes--;
    if (((quote - slashes) & 1) == 0) return quote + 1;
    at = quote + 1;
  }
  return NULL;
}

static int hex4(const uint8_t *at) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = at[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

static void put_code_point(struct writer *writer, uint32_t code, void (*emit)(struct writer *, uint8_t)) {
  if (code < 0x80) {
    emit(writer, (uint8_t)code);
  } else if (code < 0x800) {
    emit(writer, (uint8_t)(0xc0 | code >> 6));
    emit(writer, (uint8_t)(0x80 | (code & 63)));
  } else if (code < 0x10000) {
    emit(writer, (uint8_t)(0xe0 | code >> 12));
    emit(writer, (uint8_t)(0x80 | (code >> 6 & 63)));
    emit(writer, (uint8_t)(0x80 | (code & 63)));
  } else {
    emit(writer, (uint8_t)(0xf0 | code >> 18));
    emit(writer, (uint8_t)(0x80 | (code >> 12 & 63)));
    emit(writer, (uint8_t)(0x80 | (code >> 6 & 63)));
    emit(writer, (uint8_t)(0x80 | (code & 63)));
  }
}

/* Decodes the escape after a backslash at `at`; returns what follows it. */
static const uint8_t *put_escape(struct writer *writer, const uint8_t *at, const uint8_t *end, void (*emit)(struct writer *, uint8_t)) {
  uint8_t kind = *at++;
  switch (kind) {
    case 'n': emit(writer, '\n'); return at;
    case 't': emit(writer, '\t'); return at;
    case 'r': emit(writer, '\r'); return at;
    case 'b': emit(writer, '\b'); return at;
    case 'f': emit(writer, '\f'); return at;
    case 'u': break;
    default: emit(writer, kind); return at;
  }
  int code = end - at >= 4 ? hex4(at) : -1;
  if (code < 0) {
    put_code_point(writer, 0xfffd, emit);
    return at;
  }
  at += 4;
  if (code >= 0xd800 && code <= 0xdfff) {
    int low = code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
      put_code_point(writer, 0xfffd, emit);
      return at;
    }
    put_code_point(writer, 0x10000 + ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00), emit);
    return at + 6;
  }
  put_code_point(writer, (uint32_t)code, emit);
  return at;
}

/* The text between two quotes, unescaped. */
static void put_text(struct writer *writer, const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    const uint8_t *slash = memchr(at, '\\', (size_t)(end - at));
    const uint8_t *plain_end = slash ? slash : end;
    put_bytes(writer, at, (size_t)(plain_end - at));
    if (!slash || slash + 1 >= end) return;
    at = put_escape(writer, slash + 1, end, put);
  }
}

/* Go's url.QueryEscape of one byte. */
static void put_query_escaped(struct writer *writer, uint8_t byte) {
  static const char digits[] = "0123456789ABCDEF";
  bool plain = (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || byte == '-' || byte == '_' || byte == '.' || byte == '~';
  if (plain) {
    put(writer, byte);
  } else if (byte == ' ') {
    put(writer, '+');
  } else {
    put(writer, '%');
    put(writer, (uint8_t)digits[byte >> 4]);
    put(writer, (uint8_t)digits[byte & 15]);
  }
}

static void put_query_text(struct writer *writer, const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    if (*at == '\\' && at + 1 < end) at = put_escape(writer, at + 1, end, put_query_escaped);
    else put_query_escaped(writer, *at++);
  }
}

/* {"k":"v","k2":"v2"} as k=v,k2=v2; the writer of the log sorted the keys. */
static void put_attributes(struct writer *writer, const uint8_t *at, const uint8_t *end) {
  bool first = true;
  while (at < end) {
    const uint8_t *key = memchr(at, '"', (size_t)(end - at));
    if (!key) return;
    const uint8_t *key_end = string_end(key + 1, end);
    if (!key_end || key_end + 1 >= end || key_end[0] != ':' || key_end[1] != '"') return;
    const uint8_t *value = key_end + 2;
    const uint8_t *value_end = string_end(value, end);
    if (!value_end) return;
    if (!first) put(writer, ',');
    first = false;
    put_query_text(writer, key + 1, key_end - 1);
    put(writer, '=');
    put_query_text(writer, value, value_end - 1);
    at = value_end;
  }
}

static int digits(const uint8_t *at, int count) {
  int value = 0;
  for (int i = 0; i < count; i++) {
    if (at[i] < '0' || at[i] > '9') return -1;
    value = value * 10 + (at[i] - '0');
  }
  return value;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's days_from_civil). */
static int64_t days_from_civil(int year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

/* RFC 3339 in UTC ("...Z"), up to nine digits of a second. */
static int64_t parse_time(const uint8_t *at, const uint8_t *end) {
  if (end - at < 20) return INT64_MIN;
  int year = digits(at, 4), month = digits(at + 5, 2), day = digits(at + 8, 2);
  int hour = digits(at + 11, 2), minute = digits(at + 14, 2), second = digits(at + 17, 2);
  if ((year | month | day | hour | minute | second) < 0 || month < 1 || month > 12 || year < 1700 || year > 2250) return INT64_MIN;
  int64_t nanoseconds = 0;
  const uint8_t *rest = at + 19;
  if (*rest == '.') {
    int64_t scale = 100000000;
    for (rest++; rest < end && *rest >= '0' && *rest <= '9'; rest++, scale /= 10) nanoseconds += (*rest - '0') * scale;
  }
  if (rest >= end || *rest != 'Z') return INT64_MIN;
  int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
  return seconds * 1000000000 + nanoseconds;
}

static bool starts(const uint8_t *at, const uint8_t *end, const char *text, size_t length) {
  return (size_t)(end - at) >= length && memcmp(at, text, length) == 0;
}
#define STARTS(at, end, text) starts(at, end, text, sizeof text - 1)

/* {"log":"...","stream":"stdout"[,"attrs":{...}],"time":"..."} */
static bool parse_record(const uint8_t *at, const uint8_t *end, struct record *record) {
  if (!STARTS(at, end, "{\"log\":\"")) return false;
  record->text = at + 8;
  at = string_end(record->text, end);
  if (!at) return false;
  record->text_end = at - 1;
  if (!STARTS(at, end, ",\"stream\":\"")) return false;
  at += 11;
  record->is_err = STARTS(at, end, "stderr\"");
  if (!record->is_err && !STARTS(at, end, "stdout\"")) return false;
  at += 7;
  record->attributes = record->attributes_end = NULL;
  if (STARTS(at, end, ",\"attrs\":{")) {
    record->attributes = at + 10;
    at += 10;
    while (at < end && *at != '}') {
      if (*at == '"') {
        at = string_end(at + 1, end);
        if (!at) return false;
      } else {
        at++;
      }
    }
    if (at >= end) return false;
    record->attributes_end = at++;
  }
  if (!STARTS(at, end, ",\"time\":\"")) return false;
  at += 9;
  record->time = parse_time(at, end);
  return record->time != INT64_MIN;
}

static void put_number(struct writer *writer, int64_t value, int width) {
  uint8_t text[20];
  for (int i = width - 1; i >= 0; i--, value /= 10) text[i] = (uint8_t)('0' + value % 10);
  put_bytes(writer, text, (size_t)width);
}

/* 2006-01-02T15:04:05.000000000Z */
static void put_time(struct writer *writer, int64_t time) {
  int64_t nanoseconds = time % 1000000000, seconds = time / 1000000000;
  if (nanoseconds < 0) nanoseconds += 1000000000, seconds--;
  int64_t days = seconds / 86400, of_day = seconds % 86400;
  if (of_day < 0) of_day += 86400, days--;
  int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, day_of_era = z - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * day_of_year + 2) / 153, day = day_of_year - (153 * shifted + 2) / 5 + 1;
  int64_t month = shifted + (shifted < 10 ? 3 : -9), year = year_of_era + era * 400 + (month <= 2);
  put_number(writer, year, 4), put(writer, '-'), put_number(writer, month, 2), put(writer, '-'), put_number(writer, day, 2);
  put(writer, 'T'), put_number(writer, of_day / 3600, 2), put(writer, ':'), put_number(writer, of_day / 60 % 60, 2);
  put(writer, ':'), put_number(writer, of_day % 60, 2), put(writer, '.'), put_number(writer, nanoseconds, 9), put(writer, 'Z');
}

static void put_record(struct writer *writer, const struct record *record, const struct json_log_options *options) {
  uint8_t *header = writer->at;
  if (options->frames) put_bytes(writer, record->is_err ? "\2\0\0\0\0\0\0\0" : "\1\0\0\0\0\0\0\0", 8);
  if (options->timestamps) put_time(writer, record->time), put(writer, ' ');
  if (options->details) {
    if (record->attributes) put_attributes(writer, record->attributes, record->attributes_end);
    put(writer, ' ');
  }
  put_text(writer, record->text, record->text_end);
  if (!options->frames || writer->overflow) return;
  size_t length = (size_t)(writer->at - header) - 8;
  for (int i = 0; i < 4; i++) header[4 + i] = (uint8_t)(length >> (24 - 8 * i));
}

void json_log_decode(const uint8_t *input, size_t length, uint8_t *output, size_t capacity,
                     const struct json_log_options *options, struct json_log_result *result) {
  const uint8_t *at = input, *end = input + length;
  struct writer writer = {.at = output, .end = output + capacity, .overflow = false};
  memset(result, 0, sizeof *result);
  while (at < end) {
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline) break;
    struct record record;
    if (parse_record(at, newline, &record)) {
      if (record.time > options->until) {
        result->past_until = true;
        break;
      }
      if (record.time >= options->since && (record.is_err ? options->err : options->out)) {
        uint8_t *before = writer.at;
        put_record(&writer, &record, options);
        if (writer.overflow) {
          writer.at = before;
          result->output_full = true;
          break;
        }
        result->records++;
      }
    }
    at = newline + 1;
  }
  result->consumed = (size_t)(at - input);
  result->produced = (size_t)(writer.at - output);
}

int64_t json_log_line_time(const uint8_t *line, size_t length) {
  struct record record;
  return parse_record(line, line + length, &record) ? record.time : INT64_MIN;
}
