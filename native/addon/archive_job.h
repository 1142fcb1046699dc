/* One piece of work on its own thread, at low priority, that settles a promise. Long work (a layer, a tree) stays off the libuv
 * pool, whose four threads serve every file operation of the daemon. */
#ifndef GANTRY_ARCHIVE_JOB_H
#define GANTRY_ARCHIVE_JOB_H

#include "archive.h"
#include <node_api.h>

struct archive_job {
  /* On the thread: 0, or -1 with error set. */
  int (*run)(struct archive_job *job);
  /* On the main thread after success: the promise's value. NULL: undefined. */
  napi_value (*value)(napi_env env, struct archive_job *job);
  /* Frees what the caller put in; then the job itself is freed. */
  void (*release)(napi_env env, struct archive_job *job);
  void *context;
  /* Files are made as the root of this user namespace. NULL: as ourselves. The caller frees it in release. */
  const struct id_maps *ids;
  struct archive_error error;
  napi_deferred deferred;
  napi_threadsafe_function done;
};

/* Takes the (malloc'ed) job over; returns the promise, or NULL with a pending exception and the job released. */
napi_value archive_job_start(napi_env env, struct archive_job *job);
/* The same on the libuv pool: for short work. */
napi_value archive_job_queue(napi_env env, struct archive_job *job);
/* Uint32Array of kind, inside, outside, size, repeated, as maps whose ranges the caller frees; anything else is none. */
struct id_maps archive_ids_of(napi_env env, napi_value value);
/* Where a mount goes below a root, made when it is missing: a folder, or an empty file for what is none. archive_view.c has it. */
int open_mount_point(int root, const char *destination, int tree);
napi_value archive_error_value(napi_env env, const struct archive_error *error);

#endif
