/* The log writer: u8 flags, then output in pieces of u8 length. Every line is one object; the text in them is what went in, with
 * what is not UTF-8 replaced, whatever the pieces. */
#define _GNU_SOURCE
#include "../shim/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Undoes the escaping of the file's "log" texts; -1 for what is not such a file. */
static ssize_t decode(const char *at, const char *end, uint8_t *into) {
  static const char start[] = "{\"log\":\"", after[] = "\",\"stream\":\"stdout\",\"time\":\"";
  uint8_t *out = into;
  while (at < end) {
    if ((size_t)(end - at) < sizeof start || memcmp(at, start, sizeof start - 1)) return -1;
    for (at += sizeof start - 1; at < end && *at != '"';) {
      if ((uint8_t)*at < 0x20 || strchr("<>&", *at)) return -1;
      if (*at != '\\') *out++ = (uint8_t)*at++;
      else if (at[1] == 'u') {
        char digits[5] = {at[2], at[3], at[4], at[5], 0};
        unsigned long code = strtoul(digits, NULL, 16);
        if (code >= 0x80) *out++ = 0xff;
        else *out++ = (uint8_t)code;
        at += 6;
      } else {
        *out++ = at[1] == 'n' ? '\n' : at[1] == 'r' ? '\r' : (uint8_t)at[1];
        at += 2;
      }
    }
    if ((size_t)(end - at) < sizeof after || memcmp(at, after, sizeof after - 1)) return -1;
    at = memchr(at, '\n', (size_t)(end - at));
    if (!at || memcmp(at - 3, "Z\"}", 3)) return -1;
    at++;
  }
  return out - into;
}

static void append_all(struct logfile *log, const uint8_t *bytes, size_t size, uint8_t *whole, size_t *length, bool ascii) {
  struct log_stream stream = {.name = "stdout"};
  while (size) {
    size_t piece = bytes[0] ? bytes[0] : 1;
    bytes++, size--;
    if (piece > size) piece = size;
    memcpy(whole + *length, bytes, piece);
    if (ascii)
      for (size_t i = 0; i < piece; i++) whole[*length + i] &= 0x7f;
    logfile_append(log, &stream, (const char *)whole + *length, piece);
    *length += piece;
    bytes += piece, size -= piece;
  }
  logfile_end_stream(log, &stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static uint8_t whole[1 << 17], decoded[1 << 20];
  char path[64];
  if (!size) return 0;
  bool ascii = bytes[0] & 1;
  int file = memfd_create("log", MFD_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  struct logfile log;
  if (logfile_open(&log, path, "", 0, 1)) abort();
  size_t length = 0;
  append_all(&log, bytes + 1, size - 1, whole, &length, ascii);
  struct stat info;
  if (fstat(file, &info)) abort();
  char *text = info.st_size ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0) : NULL;
  ssize_t got = text ? decode(text, text + info.st_size, decoded) : 0;
  if (got < 0) abort();
  if (ascii && ((size_t)got != length || memcmp(decoded, whole, length))) abort();
  if (text) munmap(text, (size_t)info.st_size);
  close(log.fd);
  close(file);
  return 0;
}
