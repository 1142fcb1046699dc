#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* readInRoot(root, path, maxBytes): Promise<Buffer>. See src/sys/inroot.ts. */

struct job {
  napi_async_work work;
  napi_deferred deferred;
  char *root, *path;
  size_t most;
  uint8_t *bytes;
  size_t length;
  int error;
  const char *what;
};

static int fail(struct job *job, int error, const char *what) {
  job->error = error;
  job->what = what;
  return -1;
}

static int read_all(struct job *job, int fd) {
  struct stat status;
  if (fstat(fd, &status)) return fail(job, errno, "fstat");
  if (!S_ISREG(status.st_mode)) return fail(job, EINVAL, "not a regular file");
  if ((uint64_t)status.st_size > job->most) return fail(job, EFBIG, "read");
  job->bytes = malloc(job->most + 1);
  if (!job->bytes) return fail(job, ENOMEM, "malloc");
  /* One byte more than allowed: the file may have grown. */
  while (job->length <= job->most) {
    ssize_t got = read(fd, job->bytes + job->length, job->most + 1 - job->length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(job, errno, "read");
    if (got == 0) return 0;
    job->length += (size_t)got;
  }
  return fail(job, EFBIG, "read");
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct job *job = data;
  int root = open(job->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) {
    fail(job, errno, "open");
    return;
  }
  struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, root, job->path, &how, sizeof how);
  if (fd < 0) {
    fail(job, errno, "openat2");
  } else {
    read_all(job, fd);
    close(fd);
  }
  close(root);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  napi_value value;
  if (status != napi_ok || job->error) {
    napi_reject_deferred(env, job->deferred, addon_errno_error(env, job->error ? job->error : ECANCELED, job->what ? job->what : "readInRoot"));
  } else {
    napi_create_buffer_copy(env, job->length, job->bytes, NULL, &value);
    napi_resolve_deferred(env, job->deferred, value);
  }
  napi_delete_async_work(env, job->work);
  free(job->root);
  free(job->path);
  free(job->bytes);
  free(job);
}

static char *text_of(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char *text = malloc(length + 1);
  if (text) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

static napi_value read_in_root(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3], promise, name;
  int64_t most;
  struct job *job = calloc(1, sizeof *job);
  if (!job || napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
      !(job->root = text_of(env, arguments[0])) || !(job->path = text_of(env, arguments[1])) ||
      napi_get_value_int64(env, arguments[2], &most) != napi_ok || most < 0) {
    if (job) free(job->root), free(job->path);
    free(job);
    napi_throw_type_error(env, NULL, "readInRoot takes a root, a path and a number of bytes");
    return NULL;
  }
  job->most = (size_t)most;
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "readInRoot", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, execute, complete, job, &job->work);
  napi_queue_async_work(env, job->work);
  return promise;
}

int register_inroot(napi_env env, napi_value exports) { return addon_function(env, exports, "readInRoot", read_in_root); }
