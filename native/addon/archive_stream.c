/* The byte stream of a layer: sha256 of what arrives, gzip (also concatenated members) or zstd or nothing, sha256 of what comes
 * out. Inflate and hashes are the node binary's own zlib, zstd and OpenSSL; their symbols resolve when the addon is loaded. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* The node package ships no zstd.h: these are its stable prototypes. */
typedef struct ZSTD_DCtx_s ZSTD_DStream;
typedef struct {
  const void *src;
  size_t size, pos;
} ZSTD_inBuffer;
typedef struct {
  void *dst;
  size_t size, pos;
} ZSTD_outBuffer;
ZSTD_DStream *ZSTD_createDStream(void);
size_t ZSTD_freeDStream(ZSTD_DStream *stream);
size_t ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *output, ZSTD_inBuffer *input);
unsigned ZSTD_isError(size_t code);
size_t ZSTD_DCtx_setParameter(ZSTD_DStream *stream, int parameter, int value);
enum { ZSTD_d_windowLogMax = 100 };

enum { OUTPUT_SIZE = 256 << 10, MAGIC_SIZE = 6, STAGED_BYTES = 4 << 20 };

struct archive_stream {
  int blob_fd;
  uint64_t plain_most;
  stream_output output;
  void *context;
  struct stream_totals totals;
  struct archive_error error;
  EVP_MD_CTX *blob_hash, *diff_hash;
  uint8_t magic[MAGIC_SIZE];
  size_t magic_size;
  z_stream gzip;
  bool blob_unhashed, diff_unhashed;
  bool gzip_ready, member_open, member_done, trailing;
  ZSTD_DStream *zstd;
  size_t zstd_hint;
  uint8_t *room; /* what was inflated, until it is full */
  size_t room_used;
  bool runs;
  struct stage *stage;
};

static int fail(struct archive_stream *s, int number, const char *text) { return archive_fail(&s->error, number, "", text); }

struct archive_stream *stream_new(int blob_fd, uint64_t plain_most, stream_output output, void *context) {
  struct archive_stream *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->blob_fd = blob_fd;
  s->plain_most = plain_most;
  s->output = output;
  s->context = context;
  s->blob_hash = EVP_MD_CTX_new();
  s->diff_hash = EVP_MD_CTX_new();
  s->room = malloc(OUTPUT_SIZE);
  if (s->room && s->blob_hash && s->diff_hash && EVP_DigestInit_ex(s->blob_hash, EVP_sha256(), NULL) && EVP_DigestInit_ex(s->diff_hash, EVP_sha256(), NULL)) return s;
  stream_free(s);
  return NULL;
}

void stream_free(struct archive_stream *s) {
  if (!s) return;
  stream_settle(s);
  EVP_MD_CTX_free(s->blob_hash);
  EVP_MD_CTX_free(s->diff_hash);
  if (s->gzip_ready) inflateEnd(&s->gzip);
  if (s->zstd) ZSTD_freeDStream(s->zstd);
  free(s->room);
  free(s);
}

void stream_skip_hashes(struct archive_stream *s, bool diff_too) {
  s->blob_unhashed = true;
  s->diff_unhashed = diff_too;
}

/* What comes out is what arrives: one hash is enough. */
static bool is_one_hash(const struct archive_stream *s) { return s->totals.kind == STREAM_PLAIN && !s->blob_unhashed; }

const struct archive_error *stream_error(const struct archive_stream *s) { return &s->error; }
const struct stream_totals *stream_totals(const struct archive_stream *s) { return &s->totals; }

static int consume(void *context, const uint8_t *bytes, size_t size) {
  struct archive_stream *s = context;
  if (!s->diff_unhashed && !is_one_hash(s) && !EVP_DigestUpdate(s->diff_hash, bytes, size)) return fail(s, EIO, "cannot hash");
  return s->output(s->context, bytes, size) ? -1 : 0;
}

static int count_plain(struct archive_stream *s, size_t size) {
  if (size > s->plain_most - s->totals.plain_bytes) return fail(s, E2BIG, "archive is larger than allowed");
  s->totals.plain_bytes += size;
  return 0;
}

/* Gives what is in the room to the second thread, if a large stream has a processor for that. */
static int empty_room(struct archive_stream *s) {
  size_t size = s->room_used;
  s->room_used = 0;
  if (!size) return 0;
  bool staged = s->runs && s->totals.plain_bytes >= STAGED_BYTES && stage_pays();
  if (staged && !s->stage) s->stage = stage_start(OUTPUT_SIZE, consume, s);
  if (!s->stage) return consume(s, s->room, size);
  if (staged) return stage_pass(s->stage, &s->room, size);
  return stage_drain(s->stage) ? -1 : consume(s, s->room, size);
}

static int filled_room(struct archive_stream *s, size_t size) {
  s->room_used += size;
  if (count_plain(s, size)) return -1;
  return s->room_used == OUTPUT_SIZE ? empty_room(s) : 0;
}

void stream_begin_run(struct archive_stream *s) {
  s->runs = true;
  stage_count(1);
}

void stream_settle(struct archive_stream *s) {
  if (s->stage) stage_end(s->stage);
  s->stage = NULL;
}

void stream_end_run(struct archive_stream *s) {
  stream_settle(s);
  s->runs = false;
  stage_count(-1);
}

static int push_gzip(struct archive_stream *s, const uint8_t *bytes, size_t size) {
  if (s->trailing) return 0;
  s->gzip.next_in = (uint8_t *)bytes;
  s->gzip.avail_in = (unsigned)size;
  while (s->gzip.avail_in) {
    if (!s->member_open) {
      /* After a member: another one, or padding that gzip ignores. */
      if (*s->gzip.next_in != 0x1f && s->member_done) {
        s->trailing = true;
        return 0;
      }
      s->member_open = true;
    }
    int result;
    do {
      size_t room = OUTPUT_SIZE - s->room_used;
      s->gzip.next_out = s->room + s->room_used;
      s->gzip.avail_out = (unsigned)room;
      result = inflate(&s->gzip, Z_NO_FLUSH);
      if (result == Z_MEM_ERROR) return fail(s, ENOMEM, "out of memory");
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return fail(s, EBADMSG, "invalid gzip data");
      if (filled_room(s, room - s->gzip.avail_out)) return -1;
    } while (result == Z_OK && (s->gzip.avail_out == 0 || s->gzip.avail_in));
    if (result == Z_STREAM_END) {
      s->member_open = false;
      s->member_done = true;
      if (inflateReset(&s->gzip) != Z_OK) return fail(s, EBADMSG, "invalid gzip data");
    }
  }
  return 0;
}

static int push_zstd(struct archive_stream *s, const uint8_t *bytes, size_t size) {
  ZSTD_inBuffer input = {bytes, size, 0};
  for (bool full = false; input.pos < input.size || full;) {
    ZSTD_outBuffer output = {s->room + s->room_used, OUTPUT_SIZE - s->room_used, 0};
    s->zstd_hint = ZSTD_decompressStream(s->zstd, &output, &input);
    if (ZSTD_isError(s->zstd_hint)) return fail(s, EBADMSG, "invalid zstd data");
    full = output.pos == output.size;
    if (filled_room(s, output.pos)) return -1;
  }
  return 0;
}

static int push_plain(struct archive_stream *s, const uint8_t *bytes, size_t size) {
  switch (s->totals.kind) {
    case STREAM_GZIP: return push_gzip(s, bytes, size);
    case STREAM_ZSTD: return push_zstd(s, bytes, size);
    default: return count_plain(s, size) || consume(s, bytes, size) ? -1 : 0;
  }
}

/* Decides by the first bytes, then passes them on. */
static int detect(struct archive_stream *s) {
  const uint8_t *m = s->magic;
  size_t size = s->magic_size;
  if (size >= 3 && m[0] == 0x1f && m[1] == 0x8b && m[2] == 8) {
    s->totals.kind = STREAM_GZIP;
    if (inflateInit2(&s->gzip, 15 + 16) != Z_OK) return fail(s, ENOMEM, "out of memory");
    s->gzip_ready = true;
  } else if (size >= 4 && ((m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd) || ((m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18))) {
    s->totals.kind = STREAM_ZSTD;
    s->zstd = ZSTD_createDStream();
    /* 128 MiB: what the zstd program itself accepts. */
    if (!s->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, 27))) return fail(s, ENOMEM, "out of memory");
  } else if (size >= 3 && !memcmp(m, "BZh", 3)) {
    return fail(s, ENOTSUP, "bzip2 compression is not supported: use gzip or zstd");
  } else if (size >= 6 && !memcmp(m, "\xfd" "7zXZ", 6)) {
    return fail(s, ENOTSUP, "xz compression is not supported: use gzip or zstd");
  } else {
    s->totals.kind = STREAM_PLAIN;
  }
  return push_plain(s, m, size);
}

static int keep_blob(struct archive_stream *s, const uint8_t *bytes, size_t size) {
  while (s->blob_fd >= 0 && size) {
    ssize_t written = write(s->blob_fd, bytes, size);
    if (written < 0) return fail(s, errno, "cannot write the blob");
    bytes += written;
    size -= (size_t)written;
  }
  return 0;
}

int stream_push(struct archive_stream *s, const uint8_t *bytes, size_t size) {
  if (s->error.number) return -1;
  s->totals.raw_bytes += size;
  if (!s->blob_unhashed && !EVP_DigestUpdate(s->blob_hash, bytes, size)) return fail(s, EIO, "cannot hash");
  if (keep_blob(s, bytes, size)) return -1;
  if (!s->output) return 0;
  if (s->totals.kind == STREAM_UNKNOWN) {
    while (size && s->magic_size < MAGIC_SIZE) {
      s->magic[s->magic_size++] = *bytes++;
      size--;
    }
    if (s->magic_size < MAGIC_SIZE) return 0;
    if (detect(s)) return -1;
  }
  return size ? push_plain(s, bytes, size) : 0;
}

static int digest_text(EVP_MD_CTX *hash, char text[65]) {
  uint8_t digest[32];
  if (!EVP_DigestFinal_ex(hash, digest, NULL)) return -1;
  for (size_t i = 0; i < 32; i++) snprintf(text + i * 2, 3, "%02x", digest[i]);
  return 0;
}

int stream_finish(struct archive_stream *s) {
  if (s->error.number) return -1;
  if (s->output && s->totals.kind == STREAM_UNKNOWN && detect(s)) return -1;
  if (empty_room(s) || (s->stage && stage_drain(s->stage))) return -1;
  if (s->totals.kind == STREAM_GZIP && s->member_open) return fail(s, EBADMSG, "unexpected EOF in gzip data");
  if (s->totals.kind == STREAM_ZSTD && s->zstd_hint) return fail(s, EBADMSG, "unexpected EOF in zstd data");
  if (digest_text(s->blob_hash, s->totals.blob_digest) || digest_text(s->diff_hash, s->totals.diff_digest)) return fail(s, EIO, "cannot hash");
  if (is_one_hash(s)) memcpy(s->totals.diff_digest, s->totals.blob_digest, sizeof s->totals.diff_digest);
  return 0;
}
