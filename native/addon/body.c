#define _GNU_SOURCE
#include "body.h"
#include "addon.h"
#include "archive_job.h"
#include "body_chunks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 256 << 10, PEEK = 16, TICK_MS = 500, PAUSE_MS = 600000 };

struct body {
  int fd;
  bool chunked, busy; /* busy: main thread only */
  _Atomic bool cancelled;
  struct body_chunks chunks;
  uint64_t left; /* of a body that has a length */
  uint8_t *room;
  size_t at, end;
  uint8_t peeked[PEEK];
  size_t peeked_size;
};

static void close_body(struct body *body) {
  if (body->fd >= 0) close(body->fd);
  body->fd = -1;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct body *body = data;
  close_body(body);
  free(body->room);
  free(body);
}

static int gone(struct archive_error *error) { return archive_fail(error, ECONNRESET, "", "the client went away"); }

/* Waits for more, and takes as much as there is. */
static int refill(struct body *body, struct archive_error *error) {
  for (int waited = 0;;) {
    if (body->cancelled) return archive_fail(error, ECANCELED, "", "cancelled");
    ssize_t got = recv(body->fd, body->room, ROOM, MSG_DONTWAIT);
    if (got > 0) {
      body->at = 0;
      body->end = (size_t)got;
      return 0;
    }
    if (got == 0) return gone(error);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return gone(error);
    if (waited >= PAUSE_MS) return archive_fail(error, ETIMEDOUT, "", "nothing more of the body came");
    struct pollfd wait = {body->fd, POLLIN, 0};
    if (poll(&wait, 1, TICK_MS) == 0) waited += TICK_MS;
  }
}

static bool is_over(const struct body *body) { return body->chunked ? body_chunks_over(&body->chunks) : body->left == 0; }

/* Data of what is there; *size is 0 when it has none. */
static int take(struct body *body, const uint8_t **bytes, size_t *size, struct archive_error *error) {
  size_t here = body->end - body->at;
  if (body->chunked) {
    ssize_t taken = body_chunks_take(&body->chunks, body->room + body->at, here, size);
    if (taken < 0) return archive_fail(error, EBADMSG, "", "malformed chunk of the request's body");
    body->at += (size_t)taken;
  } else {
    *size = here < body->left ? here : (size_t)body->left;
    body->at += *size;
    body->left -= *size;
  }
  *bytes = body->room + body->at - *size;
  return 0;
}

static void untake(struct body *body, size_t size) {
  body->at -= size;
  if (body->chunked) body_chunks_untake(&body->chunks, size);
  else body->left += size;
}

static int next_data(struct body *body, const uint8_t **bytes, size_t *size, struct archive_error *error) {
  for (;;) {
    if (is_over(body)) return 0;
    if (body->at == body->end && refill(body, error)) return -1;
    if (take(body, bytes, size, error)) return -1;
    if (*size) return 1;
  }
}

int body_next(struct body *body, const uint8_t **bytes, size_t *size, struct archive_error *error) {
  if (!body->peeked_size) return next_data(body, bytes, size, error);
  *bytes = body->peeked;
  *size = body->peeked_size;
  body->peeked_size = 0;
  return 1;
}

void body_use(struct body *body, bool busy) {
  body->busy = busy;
  if (!busy && body->cancelled) close_body(body);
}

struct body *body_of(napi_env env, napi_value handle) {
  struct body *body;
  return napi_get_value_external(env, handle, (void **)&body) == napi_ok ? body : NULL;
}

/* bodyOpen(fd, head, length or -1 for chunks): a handle. head: what of the body has been read. */
static napi_value open_body(napi_env env, napi_callback_info info) {
  size_t count = 3, size = 0;
  int32_t fd = -1;
  int64_t length = -1;
  void *head = NULL;
  napi_value arguments[3], handle;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_value_int32(env, arguments[0], &fd);
  napi_get_typedarray_info(env, arguments[1], NULL, &size, &head, NULL, NULL);
  napi_get_value_int64(env, arguments[2], &length);
  struct body *body = calloc(1, sizeof *body);
  if (!body) return addon_throw_errno(env, ENOMEM, "bodyOpen");
  body->chunked = length < 0;
  body->left = length < 0 ? 0 : (uint64_t)length;
  body->end = size;
  body->room = malloc(size > ROOM ? size : ROOM);
  body->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (!body->room || body->fd < 0) {
    int number = body->room ? errno : ENOMEM;
    finalize(env, body, NULL);
    return addon_throw_errno(env, number, "bodyOpen");
  }
  if (size) memcpy(body->room, head, size);
  napi_create_external(env, body, finalize, NULL, &handle);
  return handle;
}

struct body_call {
  struct archive_job job;
  struct body *body;
  napi_ref handle;
  int out;
};

static void release(napi_env env, struct archive_job *job) {
  struct body_call *call = (struct body_call *)job;
  body_use(call->body, false);
  napi_delete_reference(env, call->handle);
  if (call->out >= 0) close(call->out);
}

static int run_peek(struct archive_job *job) {
  struct body *body = ((struct body_call *)job)->body;
  while (body->peeked_size < PEEK) {
    const uint8_t *bytes;
    size_t size;
    int result = next_data(body, &bytes, &size, &job->error);
    if (result <= 0) return result;
    size_t taken = size < PEEK - body->peeked_size ? size : PEEK - body->peeked_size;
    memcpy(body->peeked + body->peeked_size, bytes, taken);
    body->peeked_size += taken;
    untake(body, size - taken);
  }
  return 0;
}

static napi_value peeked_value(napi_env env, struct archive_job *job) {
  const struct body *body = ((struct body_call *)job)->body;
  napi_value value;
  napi_create_buffer_copy(env, body->peeked_size, body->peeked, NULL, &value);
  return value;
}

static int run_write(struct archive_job *job) {
  struct body_call *call = (struct body_call *)job;
  for (;;) {
    const uint8_t *bytes;
    size_t size;
    int result = body_next(call->body, &bytes, &size, &job->error);
    if (result <= 0) return result;
    while (size) {
      ssize_t written = write(call->out, bytes, size);
      if (written < 0) return archive_fail(&job->error, errno, "", "cannot pass the body on");
      bytes += written;
      size -= (size_t)written;
    }
  }
}

static napi_value begin(napi_env env, napi_value handle, struct archive_job job, int out) {
  struct body *body = body_of(env, handle);
  struct body_call *call = body ? calloc(1, sizeof *call) : NULL;
  if (!call) return addon_throw_errno(env, body ? ENOMEM : EINVAL, "body");
  *call = (struct body_call){.job = job, .body = body, .out = out};
  call->job.release = release;
  body_use(body, true);
  napi_create_reference(env, handle, 1, &call->handle);
  return archive_job_start(env, &call->job);
}

/* bodyPeek(handle): a promise of the first few bytes, which are not taken by this. */
static napi_value peek(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  return begin(env, handle, (struct archive_job){.run = run_peek, .value = peeked_value}, -1);
}

/* bodyWrite(handle, fd): a promise. All that is left goes to fd, which must block. */
static napi_value write_body(napi_env env, napi_callback_info info) {
  size_t count = 2;
  int32_t fd = -1;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_value_int32(env, arguments[1], &fd);
  return begin(env, arguments[0], (struct archive_job){.run = run_write}, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

/* bodyClose(handle): what reads it fails soon. Idempotent. */
static napi_value close_handle(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct body *body = body_of(env, handle);
  if (!body) return NULL;
  body->cancelled = true;
  if (!body->busy) close_body(body);
  return NULL;
}

int register_body(napi_env env, napi_value exports) {
  return addon_function(env, exports, "bodyOpen", open_body) || addon_function(env, exports, "bodyPeek", peek) || addon_function(env, exports, "bodyWrite", write_body) || addon_function(env, exports, "bodyClose", close_handle);
}
