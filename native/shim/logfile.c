#define _GNU_SOURCE
#include "logfile.h"
#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BUFFER_SIZE (1u << 20)
/* Larger writes get page cache in blocks so large that the host of a virtual machine may have taken them back: a third of the speed. */
#define WRITE_MAX (128u << 10)
#define ATTRIBUTES_MAX 65536
/* The longest that one part can become: six bytes for each, and what is around it. */
#define LINE_ROOM(log) (6 * LINE_MAX_BYTES + 256 + strlen((log)->attributes))

static int open_file(const char *path, int flags) { return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0640); }

int logfile_open(struct logfile *log, const char *path, char *attributes, uint64_t max_bytes, uint32_t max_files) {
  *log = (struct logfile){.fd = -1};
  if (strlen(attributes) > ATTRIBUTES_MAX) return -E2BIG;
  *log = (struct logfile){.fd = open_file(path, 0), .path = path, .attributes = attributes, .max_bytes = max_bytes, .max_files = max_files};
  if (log->fd < 0) return -errno;
  struct stat info;
  if (!fstat(log->fd, &info)) log->size = (uint64_t)info.st_size;
  return 0;
}

void logfile_rest(struct logfile *log) {
  if (log->buffer) munmap(log->buffer, BUFFER_SIZE);
  log->buffer = NULL;
}

static bool have_buffer(struct logfile *log) {
  if (log->buffer) return true;
  void *buffer = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (buffer == MAP_FAILED) return false;
  log->buffer = buffer;
  log->used = 0;
  return true;
}

/* ---- files ---- */

/* Writes the first `length` bytes of the buffer; all of them or, with a full disk, none. */
static void write_out(struct logfile *log, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t written = write(log->fd, log->buffer + done, length - done < WRITE_MAX ? length - done : WRITE_MAX);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += (size_t)written;
  }
  if (done < length) {
    log->lost++;
    if (done && ftruncate(log->fd, (off_t)log->size)) log->size += done;
  } else log->size += done;
  memmove(log->buffer, log->buffer + length, log->used - length);
  log->used -= length;
}

static void rotated_name(const struct logfile *log, char *name, uint32_t number, const char *end) { snprintf(name, PATH_MAX, "%s.%u%s", log->path, number, end); }

/* Old files are as they were, or compressed by others: those hold this lock while they put one in the place of the other. */
static int lock_folder(const struct logfile *log) {
  char folder[PATH_MAX];
  const char *slash = strrchr(log->path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - log->path) : 1, slash ? log->path : ".");
  int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
    close(fd);
    return -1;
  }
  return fd;
}

/* The first number that no old file has, or the last that one may have: there may be many more numbers than files. */
static uint32_t free_number(const struct logfile *log) {
  char plain[PATH_MAX], packed[PATH_MAX];
  for (uint32_t i = 1; i < log->max_files - 1; i++) {
    rotated_name(log, plain, i, "");
    rotated_name(log, packed, i, ".gz");
    if (access(plain, F_OK) && access(packed, F_OK)) return i;
  }
  return log->max_files - 1;
}

static void move_old(const struct logfile *log, uint32_t last, const char *end) {
  char from[PATH_MAX], to[PATH_MAX];
  rotated_name(log, to, last, end);
  unlink(to);
  for (uint32_t i = last; i > 1; i--) {
    rotated_name(log, from, i - 1, end);
    rotated_name(log, to, i, end);
    rename(from, to);
  }
}

/* Whoever has the lock has it for a moment only: the file grows until the next line. */
static void rotate(struct logfile *log) {
  char to[PATH_MAX];
  if (log->max_files > 1) {
    int lock = lock_folder(log);
    if (lock < 0) return;
    uint32_t last = free_number(log);
    move_old(log, last, "");
    move_old(log, last, ".gz");
    rotated_name(log, to, 1, "");
    /* Readers have the old file open: it is moved or unlinked, never cut. */
    int failed = rename(log->path, to);
    close(lock);
    if (failed) return;
  } else if (unlink(log->path)) return;
  int fd = open_file(log->path, O_TRUNC);
  if (fd < 0) return;
  close(log->fd);
  log->fd = fd;
  log->size = 0;
}

int logfile_change(struct logfile *log, struct reader *reader) {
  const char *attributes = read_string(reader);
  uint64_t max_bytes = read_u64(reader);
  uint32_t max_files = read_u32(reader);
  if (!reader_done(reader) || !max_files) return -EPROTO;
  if (log->fd < 0) return -EBADF;
  if (strlen(attributes) > ATTRIBUTES_MAX) return -E2BIG;
  char *copy = strdup(attributes);
  if (!copy) return -ENOMEM;
  free(log->attributes);
  log->attributes = copy;
  log->max_bytes = max_bytes;
  log->max_files = max_files;
  for (uint32_t i = max_files;; i++) {
    char name[PATH_MAX];
    rotated_name(log, name, i, "");
    bool gone = unlink(name);
    rotated_name(log, name, i, ".gz");
    if (unlink(name) && gone) return 0;
  }
}

/* ---- lines ---- */

static void put(struct logfile *log, const void *bytes, size_t length) {
  memcpy(log->buffer + log->used, bytes, length);
  log->used += length;
}

static void put_text(struct logfile *log, const char *text) { put(log, text, strlen(text)); }

/* Length of the valid UTF-8 sequence at `at`, 0 when there is none. */
static size_t utf8_length(const uint8_t *at, const uint8_t *end) {
  size_t left = (size_t)(end - at);
  uint8_t first = at[0];
  if (first >= 0xc2 && first <= 0xdf) return left > 1 && (at[1] & 0xc0) == 0x80 ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    uint8_t low = first == 0xe0 ? 0xa0 : 0x80, high = first == 0xed ? 0x9f : 0xbf;
    return left > 2 && at[1] >= low && at[1] <= high && (at[2] & 0xc0) == 0x80 ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    uint8_t low = first == 0xf0 ? 0x90 : 0x80, high = first == 0xf4 ? 0x8f : 0xbf;
    return left > 3 && at[1] >= low && at[1] <= high && (at[2] & 0xc0) == 0x80 && (at[3] & 0xc0) == 0x80 ? 4 : 0;
  }
  return 0;
}

/* 0: as it is. */
static const uint8_t special[256] = {
    [0 ... 31] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [128 ... 255] = 1,
};

static void put_ascii(struct logfile *log, uint8_t byte) {
  static const char hex[] = "0123456789abcdef";
  char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
  if (byte == '"' || byte == '\\') escaped[1] = (char)byte;
  else if (byte == '\n') escaped[1] = 'n';
  else if (byte == '\r') escaped[1] = 'r';
  else {
    put(log, escaped, 6);
    return;
  }
  put(log, escaped, 2);
}

/* A sequence that starts beyond ASCII; its length in the input. */
static size_t put_unicode(struct logfile *log, const uint8_t *at, const uint8_t *end) {
  size_t length = utf8_length(at, end);
  if (!length) {
    put_text(log, "\\ufffd");
    return 1;
  }
  /* U+2028 and U+2029, which JavaScript once took for ends of lines. */
  if (length == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8) put_text(log, at[2] == 0xa8 ? "\\u2028" : "\\u2029");
  else put(log, at, length);
  return length;
}

/* The first byte from `at` on that cannot stay as it is, or `end`. */
static const uint8_t *find_special(const uint8_t *at, const uint8_t *end) {
#ifdef __SSE2__
  const __m128i space = _mm_set1_epi8(' '), quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), less = _mm_set1_epi8('<'), more = _mm_set1_epi8('>'),
                and = _mm_set1_epi8('&');
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    /* Signed: what is beyond ASCII is below the space as well. */
    __m128i found = _mm_or_si128(_mm_cmplt_epi8(bytes, space), _mm_cmpeq_epi8(bytes, quote));
    found = _mm_or_si128(found, _mm_or_si128(_mm_cmpeq_epi8(bytes, slash), _mm_cmpeq_epi8(bytes, less)));
    found = _mm_or_si128(found, _mm_or_si128(_mm_cmpeq_epi8(bytes, more), _mm_cmpeq_epi8(bytes, and)));
    int mask = _mm_movemask_epi8(found);
    if (mask) return at + __builtin_ctz((unsigned)mask);
  }
#endif
  while (at < end && !special[*at]) at++;
  return at;
}

/* Go's JSON escaping, as moby's json-file writer does it. */
static void put_escaped(struct logfile *log, const uint8_t *at, size_t length) {
  const uint8_t *end = at + length;
  while (at < end) {
    const uint8_t *plain = at;
    at = find_special(at, end);
    if (at > plain) put(log, plain, (size_t)(at - plain));
    if (at == end) break;
    if (*at < 128) put_ascii(log, *at++);
    else at += put_unicode(log, at, end);
  }
}

/* RFC 3339 with nanoseconds, without the zeros at the end. */
static size_t format_time(char *into, size_t size, uint64_t nanoseconds) {
  time_t seconds = (time_t)(nanoseconds / 1000000000u);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  size_t used = strftime(into, size, "%Y-%m-%dT%H:%M:%S", &tm);
  uint32_t fraction = (uint32_t)(nanoseconds % 1000000000u);
  if (fraction) {
    used += (size_t)snprintf(into + used, size - used, ".%09u", fraction);
    while (into[used - 1] == '0') used--;
  }
  into[used++] = 'Z';
  into[used] = 0;
  return used;
}

/* What ends every line of one time. */
struct tail {
  char bytes[128];
  size_t length;
  uint64_t time;
};

static void make_tail(struct tail *tail, const struct log_stream *stream, const char *attributes, uint64_t time) {
  if (tail->length && tail->time == time) return;
  char text[64];
  format_time(text, sizeof text, time);
  /* Attributes, which may be long, come between stream and time. */
  const char *format = attributes[0] ? "%s,\"time\":\"%s\"}\n" : "\"stream\":\"%s\",\"time\":\"%s\"}\n";
  tail->length = (size_t)snprintf(tail->bytes, sizeof tail->bytes, format, attributes[0] ? "" : stream->name, text);
  tail->time = time;
}

/* The file would pass its limit with this line: what is before it goes out, then the files rotate. */
static void check_limit(struct logfile *log) {
  if (!log->max_bytes || log->size + log->used <= log->max_bytes) return;
  if (log->line_start) write_out(log, log->line_start);
  if (log->size) rotate(log);
}

static void put_line(struct logfile *log, struct log_stream *stream, const char *bytes, size_t length, bool newline, struct tail *tail) {
  if (BUFFER_SIZE - log->used < LINE_ROOM(log)) write_out(log, log->used);
  log->line_start = log->used;
  put(log, "{\"log\":\"", 8);
  put_escaped(log, (const uint8_t *)bytes, length);
  if (newline) put(log, "\\n\",", 4);
  else put(log, "\",", 2);
  if (log->attributes[0]) {
    put_text(log, "\"stream\":\"");
    put_text(log, stream->name);
    put_text(log, "\",\"attrs\":");
    put_text(log, log->attributes);
  }
  put(log, tail->bytes, tail->length);
  check_limit(log);
}

/* One end of line, or a full part. */
static void log_part(struct logfile *log, struct log_stream *stream, const char *bytes, size_t length, bool newline, uint64_t now, struct tail *tail) {
  if (!stream->partial) stream->partial_time = now;
  make_tail(tail, stream, log->attributes, stream->partial ? stream->partial_time : now);
  put_line(log, stream, bytes, length, newline, tail);
  stream->partial = !newline;
}

static void drop_carry(struct log_stream *stream) {
  free(stream->carry);
  stream->carry = NULL;
  stream->carry_length = 0;
}

static void keep(struct log_stream *stream, const char *bytes, size_t length) {
  if (!length) return;
  char *grown = realloc(stream->carry, stream->carry_length + length);
  if (!grown) return;
  memcpy(grown + stream->carry_length, bytes, length);
  stream->carry = grown;
  stream->carry_length += (uint32_t)length;
}

/* Completes the line that waits; how many bytes of the input that took. */
static size_t complete_carry(struct logfile *log, struct log_stream *stream, const char *bytes, size_t length, uint64_t now, struct tail *tail) {
  size_t room = LINE_MAX_BYTES - stream->carry_length;
  size_t look = length < room ? length : room;
  const char *newline = memchr(bytes, '\n', look);
  size_t take = newline ? (size_t)(newline - bytes) : look;
  keep(stream, bytes, take);
  if (!newline && stream->carry_length < LINE_MAX_BYTES) return take;
  log_part(log, stream, stream->carry, stream->carry_length, newline != NULL, now, tail);
  drop_carry(stream);
  return take + (newline != NULL);
}

void logfile_append(struct logfile *log, struct log_stream *stream, const char *bytes, size_t length) {
  if (log->fd < 0 || !length || !have_buffer(log)) return;
  uint64_t now = clock_nanoseconds(CLOCK_REALTIME);
  struct tail tail = {.length = 0};
  const char *at = bytes, *end = bytes + length;
  if (stream->carry) at += complete_carry(log, stream, at, length, now, &tail);
  while (at < end) {
    size_t look = (size_t)(end - at) < LINE_MAX_BYTES ? (size_t)(end - at) : LINE_MAX_BYTES;
    const char *newline = memchr(at, '\n', look);
    if (!newline && look < LINE_MAX_BYTES) break;
    size_t line = newline ? (size_t)(newline - at) : look;
    log_part(log, stream, at, line, newline != NULL, now, &tail);
    at += line + (newline != NULL);
  }
  if (at < end) keep(stream, at, (size_t)(end - at));
  if (log->used) write_out(log, log->used);
}

void logfile_end_stream(struct logfile *log, struct log_stream *stream) {
  if (log->fd >= 0 && stream->carry_length && have_buffer(log)) {
    struct tail tail = {.length = 0};
    log_part(log, stream, stream->carry, stream->carry_length, false, clock_nanoseconds(CLOCK_REALTIME), &tail);
    write_out(log, log->used);
  }
  drop_carry(stream);
}
