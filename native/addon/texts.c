#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* readTexts(paths, maxBytes): Promise<(string | undefined)[]>. See src/sys/texts.ts. */

struct job {
  napi_async_work work;
  napi_deferred deferred;
  /* Each ends with a NUL, and so does what was read of it. */
  char *paths, *bytes;
  size_t paths_length, length, capacity, most;
  /* By path: where its text begins in bytes, or nowhere. */
  size_t *begins, *lengths, count;
};

enum { step = 16384 };
static const size_t nowhere = SIZE_MAX;

/* Whether there is room for so many more bytes. */
static int make_room(struct job *job, size_t more) {
  if (job->capacity - job->length >= more) return 1;
  size_t capacity = job->capacity * 2 + more;
  char *bytes = realloc(job->bytes, capacity);
  if (!bytes) return 0;
  job->bytes = bytes;
  job->capacity = capacity;
  return 1;
}

/* The end of a file of /proc or of a group is only known by a read of nothing. */
static int read_all(struct job *job, int fd) {
  size_t before = job->length;
  while (job->length - before <= job->most && make_room(job, step)) {
    ssize_t got = read(fd, job->bytes + job->length, step);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return 1;
    if (got < 0) break;
    job->length += (size_t)got;
  }
  job->length = before;
  return 0;
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct job *job = data;
  const char *path = job->paths;
  for (size_t i = 0; i < job->count; i++, path += strlen(path) + 1) {
    size_t before = job->length;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int done = fd >= 0 && read_all(job, fd);
    if (fd >= 0) close(fd);
    job->begins[i] = done ? before : nowhere;
    job->lengths[i] = job->length - before;
  }
}

static void release(struct job *job) {
  free(job->paths);
  free(job->bytes);
  free(job->begins);
  free(job->lengths);
  free(job);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  napi_value list, text;
  napi_create_array_with_length(env, job->count, &list);
  for (size_t i = 0; status == napi_ok && i < job->count; i++) {
    if (job->begins[i] == nowhere) continue;
    napi_create_string_latin1(env, job->bytes + job->begins[i], job->lengths[i], &text);
    napi_set_element(env, list, (uint32_t)i, text);
  }
  napi_resolve_deferred(env, job->deferred, list);
  napi_delete_async_work(env, job->work);
  release(job);
}

static size_t count_of(const char *paths, size_t length) {
  size_t count = 0;
  for (const char *at = paths; (at = memchr(at, 0, length - (size_t)(at - paths))); at++) count++;
  return count;
}

static struct job *job_of(napi_env env, napi_value paths, napi_value most) {
  int64_t bytes;
  struct job *job = calloc(1, sizeof *job);
  if (!job) return NULL;
  if (napi_get_value_int64(env, most, &bytes) != napi_ok || bytes < 0 || napi_get_value_string_utf8(env, paths, NULL, 0, &job->paths_length) != napi_ok) {
    release(job);
    return NULL;
  }
  job->most = (size_t)bytes;
  job->paths = malloc(job->paths_length + 1);
  if (job->paths) napi_get_value_string_utf8(env, paths, job->paths, job->paths_length + 1, &job->paths_length);
  job->count = job->paths ? count_of(job->paths, job->paths_length) : 0;
  job->begins = calloc(job->count + 1, sizeof *job->begins);
  job->lengths = calloc(job->count + 1, sizeof *job->lengths);
  if (job->paths && job->begins && job->lengths) return job;
  release(job);
  return NULL;
}

static napi_value read_texts(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], promise, name;
  struct job *job = napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count == 2 ? job_of(env, arguments[0], arguments[1]) : NULL;
  if (!job) {
    napi_throw_type_error(env, NULL, "readTexts takes paths that each end with a NUL, and a number of bytes");
    return NULL;
  }
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "readTexts", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, execute, complete, job, &job->work);
  napi_queue_async_work(env, job->work);
  return promise;
}

int register_texts(napi_env env, napi_value exports) { return addon_function(env, exports, "readTexts", read_texts); }
