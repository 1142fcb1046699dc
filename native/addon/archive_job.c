#define _GNU_SOURCE
#include "archive_job.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

napi_value archive_error_value(napi_env env, const struct archive_error *error) {
  char text[1024];
  bool plain = error->number == EBADMSG || error->number == E2BIG || error->number == EXDEV || error->number == ESTALE || error->number == ENOTSUP;
  snprintf(text, sizeof text, "%s%s%s%s%s", error->text, plain ? "" : ": ", plain ? "" : strerror(error->number), *error->path ? ": " : "", error->path);
  const char *name = strerrorname_np(error->number);
  napi_value message, code, path, value;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_string_utf8(env, name ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, error->path, NAPI_AUTO_LENGTH, &path);
  napi_create_error(env, code, message, &value);
  napi_set_named_property(env, value, "path", path);
  return value;
}

static void settle(napi_env env, struct archive_job *job, bool failed) {
  napi_value value;
  if (failed) {
    napi_reject_deferred(env, job->deferred, archive_error_value(env, &job->error));
  } else {
    if (job->value) value = job->value(env, job);
    else napi_get_undefined(env, &value);
    napi_resolve_deferred(env, job->deferred, value);
  }
  if (job->release) job->release(env, job);
  free(job);
}

static void on_done(napi_env env, napi_value callback, void *context, void *data) {
  (void)callback;
  (void)context;
  struct archive_job *job = data;
  if (!env) return; /* the environment is going down: nobody waits */
  napi_threadsafe_function done = job->done;
  settle(env, job, job->error.number != 0);
  napi_release_threadsafe_function(done, napi_tsfn_release);
}

struct id_maps archive_ids_of(napi_env env, napi_value value) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data;
  bool is_array = false;
  struct id_maps none = {0};
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array || napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return none;
  if (type != napi_uint32_array || !(length /= 4)) return none;
  struct id_maps maps = {length, malloc(length * sizeof *maps.ranges)};
  if (!maps.ranges) return none;
  memcpy(maps.ranges, data, length * sizeof *maps.ranges);
  return maps;
}

static int run_as(struct archive_job *job) {
  if (ids_enter(job->ids)) return archive_fail(&job->error, errno, "", "cannot act as the root of the container");
  int result = job->run(job);
  ids_leave(job->ids);
  return result;
}

static void *thread(void *context) {
  struct archive_job *job = context;
  /* Three of them weigh as one ordinary thread: requests come first, and a busy machine does not starve a pull. */
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5);
  if (run_as(job) && !job->error.number) archive_fail(&job->error, EIO, "", "failed");
  napi_call_threadsafe_function(job->done, job, napi_tsfn_blocking);
  return NULL;
}

static napi_value refuse(napi_env env, struct archive_job *job, const char *text) {
  if (job->release) job->release(env, job);
  free(job);
  napi_throw_error(env, "ENOMEM", text);
  return NULL;
}

napi_value archive_job_start(napi_env env, struct archive_job *job) {
  napi_value promise, name;
  napi_create_string_utf8(env, "gantry:archive", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, NULL, NULL, name, 1, 1, NULL, NULL, NULL, on_done, &job->done) != napi_ok) return refuse(env, job, "cannot make a thread-safe function");
  napi_create_promise(env, &job->deferred, &promise);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 8 << 20);
  pthread_t id;
  int result = pthread_create(&id, &attributes, thread, job);
  pthread_attr_destroy(&attributes);
  if (result) {
    archive_fail(&job->error, result, "", "cannot start a thread");
    napi_threadsafe_function done = job->done;
    settle(env, job, true);
    napi_release_threadsafe_function(done, napi_tsfn_release);
  }
  return promise;
}

struct queued {
  struct archive_job *job;
  napi_async_work work;
  bool failed;
};

static void execute(napi_env env, void *context) {
  (void)env;
  struct queued *queued = context;
  queued->failed = run_as(queued->job) != 0;
  if (queued->failed && !queued->job->error.number) archive_fail(&queued->job->error, EIO, "", "failed");
}

static void complete(napi_env env, napi_status status, void *context) {
  struct queued *queued = context;
  if (status != napi_ok) archive_fail(&queued->job->error, ECANCELED, "", "cancelled");
  settle(env, queued->job, queued->failed || status != napi_ok);
  napi_delete_async_work(env, queued->work);
  free(queued);
}

napi_value archive_job_queue(napi_env env, struct archive_job *job) {
  napi_value promise, name;
  struct queued *queued = calloc(1, sizeof *queued);
  if (!queued) return refuse(env, job, "out of memory");
  queued->job = job;
  napi_create_string_utf8(env, "gantry:archive", NAPI_AUTO_LENGTH, &name);
  if (napi_create_async_work(env, NULL, name, execute, complete, queued, &queued->work) != napi_ok) {
    free(queued);
    return refuse(env, job, "cannot queue work");
  }
  napi_create_promise(env, &job->deferred, &promise);
  napi_queue_async_work(env, queued->work);
  return promise;
}
