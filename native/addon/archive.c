/* What JavaScript sees of the archive parts. Handles own duplicates of the fds they are given. src/sys/archive.ts has the types. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"
#include "arrival.h"
#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct archive {
  struct archive_stream *stream;
  struct tar_parser parser;
  struct extractor extractor;
  int root, blob;
  bool untar, busy;
  _Atomic bool cancelled;
  _Atomic uint64_t position; /* of a run */
  struct arrival *followed; /* by the call under way; main thread only */
};

static void archive_close(struct archive *a) {
  if (a->stream) stream_free(a->stream);
  a->stream = NULL;
  if (a->untar) {
    tar_free(&a->parser);
    extract_free(&a->extractor);
  }
  a->untar = false;
  free(a->extractor.ids.ranges);
  a->extractor.ids = (struct id_maps){0};
  if (a->root >= 0) close(a->root);
  if (a->blob >= 0) close(a->blob);
  a->root = a->blob = -1;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct archive *a = data;
  archive_close(a);
  free(a);
}

static int on_plain(void *context, const uint8_t *bytes, size_t size) {
  struct archive *a = context;
  return a->untar ? tar_push(&a->parser, bytes, size) : 0;
}

/* The error that came first, seen from the innermost part. */
static int copy_error(struct archive *a, struct archive_error *error) {
  stream_settle(a->stream);
  const struct archive_error *from = a->untar && a->extractor.error.number ? &a->extractor.error : a->untar && a->parser.error.number ? &a->parser.error : stream_error(a->stream);
  *error = *from;
  if (!error->number) archive_fail(error, EIO, "", "failed");
  return -1;
}

static int64_t number_of(napi_env env, napi_value object, const char *name, int64_t otherwise) {
  napi_value value;
  int64_t number;
  if (napi_get_named_property(env, object, name, &value) != napi_ok || napi_get_value_int64(env, value, &number) != napi_ok) return otherwise;
  return number;
}

static int duplicate(int64_t fd) { return fd < 0 ? -1 : fcntl((int)fd, F_DUPFD_CLOEXEC, 3); }

/* archiveOpen({ root, blob, raw, unhashed, flags, depth, bytes, entries, metadata, plain, ids }): a handle. */
static napi_value open_archive(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value options, handle;
  napi_get_cb_info(env, info, &count, &options, NULL, NULL);
  int64_t root = number_of(env, options, "root", -1), blob = number_of(env, options, "blob", -1);
  struct archive *a = calloc(1, sizeof *a);
  if (!a) return addon_throw_errno(env, ENOMEM, "archiveOpen");
  a->root = duplicate(root);
  a->blob = duplicate(blob);
  a->stream = stream_new(a->blob, (uint64_t)number_of(env, options, "plain", INT64_MAX), number_of(env, options, "raw", 0) ? NULL : on_plain, a);
  if ((root >= 0 && a->root < 0) || (blob >= 0 && a->blob < 0) || !a->stream) {
    int number = a->stream ? errno : ENOMEM;
    archive_close(a);
    free(a);
    return addon_throw_errno(env, number, "archiveOpen");
  }
  int64_t unhashed = number_of(env, options, "unhashed", 0); /* 1: what arrives, 2: what comes out, too */
  if (unhashed) stream_skip_hashes(a->stream, unhashed == 2);
  if (a->root >= 0) {
    a->untar = true;
    extract_init(&a->extractor, a->root, (unsigned)number_of(env, options, "flags", 0));
    a->extractor.depth = (uint64_t)number_of(env, options, "depth", 1024);
    a->extractor.uid = (uid_t)number_of(env, options, "uid", 0);
    a->extractor.gid = (gid_t)number_of(env, options, "gid", 0);
    napi_value ids;
    if (napi_get_named_property(env, options, "ids", &ids) == napi_ok) a->extractor.ids = archive_ids_of(env, ids);
    tar_init(&a->parser, extract_sink(&a->extractor),
             (struct tar_limits){(uint64_t)number_of(env, options, "bytes", INT64_MAX), (uint64_t)number_of(env, options, "entries", INT64_MAX), (uint64_t)number_of(env, options, "metadata", 1 << 20)});
  }
  napi_create_external(env, a, finalize, NULL, &handle);
  return handle;
}

struct archive_call {
  struct archive_job job;
  struct archive *archive;
  napi_ref handle, buffer; /* buffer: of what the archive comes from */
  struct body *body;
  const uint8_t *bytes;
  size_t size;
  int fd;
  struct arrival *arrival;
};

static void release(napi_env env, struct archive_job *job) {
  struct archive_call *call = (struct archive_call *)job;
  call->archive->busy = false;
  call->archive->followed = NULL;
  if (call->archive->cancelled) archive_close(call->archive);
  if (call->body) body_use(call->body, false);
  napi_delete_reference(env, call->handle);
  if (call->buffer) napi_delete_reference(env, call->buffer);
  if (call->fd >= 0) close(call->fd);
}

static int run_push(struct archive_job *job) {
  struct archive_call *call = (struct archive_call *)job;
  return stream_push(call->archive->stream, call->bytes, call->size) ? copy_error(call->archive, &job->error) : 0;
}

static int run_finish(struct archive_job *job) {
  struct archive *a = ((struct archive_call *)job)->archive;
  if (stream_finish(a->stream) || (a->untar && (tar_finish(&a->parser) || extract_finish(&a->extractor)))) return copy_error(a, &job->error);
  return 0;
}

static int read_file(struct archive_call *call, uint8_t *room, size_t room_size, const uint8_t **bytes, size_t *size) {
  ssize_t got = read(call->fd, room, room_size);
  if (call->archive->cancelled) return archive_fail(&call->job.error, ECANCELED, "", "cancelled");
  if (got < 0) return archive_fail(&call->job.error, errno, "", "cannot read the archive");
  *bytes = room;
  *size = (size_t)got;
  return got > 0;
}

static int run_all(struct archive_job *job) {
  struct archive_call *call = (struct archive_call *)job;
  struct archive *a = call->archive;
  size_t room_size = 256 << 10, size = 0;
  uint8_t *room = malloc(room_size);
  const uint8_t *bytes;
  int follower = call->arrival ? arrival_follow(call->arrival) : 0, result = 1;
  if (!room) result = archive_fail(&job->error, ENOMEM, "", "out of memory");
  else if (follower < 0) result = archive_fail(&job->error, ECANCELED, "", "cancelled");
  stream_begin_run(a->stream);
  for (uint64_t position = 0; result > 0; a->position = position += size) {
    size = 0;
    result = call->arrival ? arrival_next(call->arrival, follower, &a->cancelled, position, room, room_size, &bytes, &size, &job->error) : read_file(call, room, room_size, &bytes, &size);
    if (result > 0 && stream_push(a->stream, bytes, size)) result = copy_error(a, &job->error);
  }
  if (call->arrival && follower >= 0) arrival_unfollow(call->arrival, follower);
  free(room);
  if (!result) result = run_finish(job);
  stream_end_run(a->stream);
  return result;
}

static int run_receive(struct archive_job *job) {
  struct archive_call *call = (struct archive_call *)job;
  struct archive *a = call->archive;
  int result = 1;
  stream_begin_run(a->stream);
  while (result > 0) {
    const uint8_t *bytes;
    size_t size;
    result = body_next(call->body, &bytes, &size, &job->error);
    if (result > 0 && stream_push(a->stream, bytes, size)) result = copy_error(a, &job->error);
    else if (result > 0) a->position += size;
  }
  if (!result) result = run_finish(job);
  stream_end_run(a->stream);
  return result;
}

static void set_text(napi_env env, napi_value object, const char *name, const char *text) {
  napi_value value;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, object, name, value);
}

static void set_number(napi_env env, napi_value object, const char *name, uint64_t number) {
  napi_value value;
  napi_create_double(env, (double)number, &value);
  napi_set_named_property(env, object, name, value);
}

static napi_value result_value(napi_env env, struct archive_job *job) {
  static const char *kinds[] = {"plain", "plain", "gzip", "zstd"};
  struct archive *a = ((struct archive_call *)job)->archive;
  const struct stream_totals *totals = stream_totals(a->stream);
  napi_value object, root_entry;
  napi_create_object(env, &object);
  set_text(env, object, "compression", kinds[totals->kind]);
  set_text(env, object, "blobHex", totals->blob_digest);
  set_text(env, object, "diffHex", totals->diff_digest);
  set_number(env, object, "blobBytes", totals->raw_bytes);
  set_number(env, object, "plainBytes", totals->plain_bytes);
  struct extract_counters counters = a->untar ? a->extractor.counters : (struct extract_counters){0};
  set_number(env, object, "entries", counters.entries);
  set_number(env, object, "whiteouts", counters.whiteouts);
  set_number(env, object, "droppedXattrs", counters.dropped_xattrs);
  napi_get_boolean(env, counters.root_entry, &root_entry);
  napi_set_named_property(env, object, "rootEntry", root_entry);
  return object;
}

/* The handle in argument 0 as a call that may start, or NULL with an exception. */
static struct archive_call *begin(napi_env env, napi_value handle, int (*run)(struct archive_job *)) {
  struct archive *a;
  if (napi_get_value_external(env, handle, (void **)&a) != napi_ok || !a->stream) {
    napi_throw_type_error(env, "EBADF", "archive is closed");
    return NULL;
  }
  if (a->busy) {
    napi_throw_error(env, "EBUSY", "archive is busy");
    return NULL;
  }
  struct archive_call *call = calloc(1, sizeof *call);
  if (!call) {
    addon_throw_errno(env, ENOMEM, "archive");
    return NULL;
  }
  call->job = (struct archive_job){.run = run, .release = release, .ids = &a->extractor.ids};
  call->archive = a;
  call->fd = -1;
  a->busy = true;
  napi_create_reference(env, handle, 1, &call->handle);
  return call;
}

static int bytes_of(napi_env env, napi_value value, const uint8_t **bytes, size_t *size) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, size, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    napi_throw_type_error(env, "EINVAL", "expected a Uint8Array");
    return -1;
  }
  *bytes = data;
  return 0;
}

/* archivePush(handle, bytes): a promise. The bytes must not change until it settles. */
static napi_value push(napi_env env, napi_callback_info info) {
  size_t count = 2, size;
  const uint8_t *bytes;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (bytes_of(env, arguments[1], &bytes, &size)) return NULL;
  struct archive_call *call = begin(env, arguments[0], run_push);
  if (!call) return NULL;
  call->bytes = bytes;
  call->size = size;
  napi_create_reference(env, arguments[1], 1, &call->buffer);
  return archive_job_queue(env, &call->job);
}

/* archivePushSync(handle, bytes): for worker threads. */
static napi_value push_sync(napi_env env, napi_callback_info info) {
  size_t count = 2, size;
  const uint8_t *bytes;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct archive *a;
  if (bytes_of(env, arguments[1], &bytes, &size)) return NULL;
  if (napi_get_value_external(env, arguments[0], (void **)&a) != napi_ok || !a->stream || a->busy) {
    napi_throw_type_error(env, "EBADF", "archive is closed or busy");
    return NULL;
  }
  struct archive_error error = {0};
  if (stream_push(a->stream, bytes, size)) {
    copy_error(a, &error);
    napi_throw(env, archive_error_value(env, &error));
  }
  return NULL;
}

/* archiveFinish(handle): a promise of the result. */
static napi_value finish(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct archive_call *call = begin(env, handle, run_finish);
  if (!call) return NULL;
  call->job.value = result_value;
  return archive_job_start(env, &call->job);
}

/* archiveRun(handle, fd): pushes all that fd has, then finishes; a promise of the result. */
static napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 2;
  int32_t fd;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (napi_get_value_int32(env, arguments[1], &fd) != napi_ok) {
    napi_throw_type_error(env, "EINVAL", "expected a file descriptor");
    return NULL;
  }
  struct archive_call *call = begin(env, arguments[0], run_all);
  if (!call) return NULL;
  call->fd = duplicate(fd);
  call->job.value = result_value;
  return archive_job_start(env, &call->job);
}

/* archiveFollow(handle, arrival): the same with what arrives there, up to its end. */
static napi_value follow(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct arrival *arrival = arrival_of(env, arguments[1]);
  if (!arrival) return addon_throw_errno(env, EINVAL, "archiveFollow");
  struct archive_call *call = begin(env, arguments[0], run_all);
  if (!call) return NULL;
  call->archive->followed = call->arrival = arrival;
  napi_create_reference(env, arguments[1], 1, &call->buffer);
  call->job.value = result_value;
  return archive_job_start(env, &call->job);
}

/* archiveReceive(handle, body): pushes all of a body that bodyOpen gave, then finishes; a promise of the result. */
static napi_value receive(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct body *body = body_of(env, arguments[1]);
  if (!body) return addon_throw_errno(env, EINVAL, "archiveReceive");
  struct archive_call *call = begin(env, arguments[0], run_receive);
  if (!call) return NULL;
  call->body = body;
  body_use(body, true);
  napi_create_reference(env, arguments[1], 1, &call->buffer);
  call->job.value = result_value;
  return archive_job_start(env, &call->job);
}

static struct archive *archive_of(napi_env env, napi_value handle) {
  struct archive *a;
  return napi_get_value_external(env, handle, (void **)&a) == napi_ok ? a : NULL;
}

/* archivePosition(handle): bytes that a run has read. */
static napi_value position_of(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle, value;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct archive *a = archive_of(env, handle);
  napi_create_double(env, a ? (double)a->position : 0, &value);
  return value;
}

/* archiveClose(handle): ends a running archiveRun at its next read, or frees what the handle holds. Idempotent. */
static napi_value close_handle(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct archive *a = archive_of(env, handle);
  if (!a) return NULL;
  a->cancelled = true;
  if (a->followed) arrival_wake(a->followed);
  if (!a->busy) archive_close(a);
  return NULL;
}

int register_archive_tree(napi_env env, napi_value exports);

int register_archive(napi_env env, napi_value exports) {
  return addon_function(env, exports, "archiveOpen", open_archive) || addon_function(env, exports, "archivePush", push) ||
         addon_function(env, exports, "archivePushSync", push_sync) || addon_function(env, exports, "archiveFinish", finish) ||
         addon_function(env, exports, "archiveRun", run) || addon_function(env, exports, "archiveReceive", receive) || addon_function(env, exports, "archiveFollow", follow) ||
         addon_function(env, exports, "archivePosition", position_of) || addon_function(env, exports, "archiveClose", close_handle) || register_archive_tree(env, exports);
}
