#define _GNU_SOURCE
#include "arrival.h"
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void arrival_give_up_room(struct arrival *a) {
  if (a->receives || !a->ended) return;
  for (size_t i = 0; i < ARRIVAL_FOLLOWERS; i++)
    if (a->followers[i].used) return;
  free(a->ring);
  a->ring = NULL;
  a->ring_from = a->arrived;
  if (a->fd >= 0) close(a->fd);
  if (a->direct >= 0) close(a->direct);
  a->fd = a->direct = -1;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct arrival *a = data;
  a->ended = true;
  arrival_give_up_room(a);
  pthread_mutex_destroy(&a->lock);
  pthread_cond_destroy(&a->changed);
  free(a);
}

struct arrival *arrival_of(napi_env env, napi_value handle) {
  struct arrival *a;
  return napi_get_value_external(env, handle, (void **)&a) == napi_ok ? a : NULL;
}

int arrival_follow(struct arrival *a) {
  pthread_mutex_lock(&a->lock);
  int found = -1;
  for (int i = 0; found < 0 && i < ARRIVAL_FOLLOWERS && a->fd >= 0; i++)
    if (!a->followers[i].used) found = i;
  if (found >= 0) a->followers[found] = (struct arrival_follower){.used = true};
  pthread_mutex_unlock(&a->lock);
  return found;
}

void arrival_unfollow(struct arrival *a, int follower) {
  pthread_mutex_lock(&a->lock);
  a->followers[follower].used = false;
  pthread_cond_broadcast(&a->changed);
  arrival_give_up_room(a);
  pthread_mutex_unlock(&a->lock);
}

void arrival_wake(struct arrival *a) {
  pthread_mutex_lock(&a->lock);
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

int arrival_next(struct arrival *a, int follower, const _Atomic bool *cancelled, uint64_t position, uint8_t *room, size_t room_size, const uint8_t **bytes, size_t *size, struct archive_error *error) {
  pthread_mutex_lock(&a->lock);
  struct arrival_follower *self = &a->followers[follower];
  bool held = self->holds || self->position != position;
  self->position = position;
  self->holds = false;
  if (held) pthread_cond_broadcast(&a->changed);
  while (position >= a->arrived && position < a->size && !a->left && !*cancelled) pthread_cond_wait(&a->changed, &a->lock);
  bool over = position >= a->size, given_up = a->left || *cancelled;
  if (!over && !given_up && position >= a->ring_from) {
    size_t at = (size_t)(position % ARRIVAL_RING);
    uint64_t left = a->arrived - position;
    *bytes = a->ring + at;
    *size = left < ARRIVAL_SLOT - at % ARRIVAL_SLOT ? (size_t)left : ARRIVAL_SLOT - at % ARRIVAL_SLOT;
    self->holds = true;
  }
  bool holds = self->holds;
  uint64_t left = a->ring_from > position ? a->ring_from - position : 0;
  pthread_mutex_unlock(&a->lock);
  if (given_up) return archive_fail(error, ECANCELED, "", "cancelled");
  if (over) return 0;
  if (holds) return 1;
  ssize_t got = pread(a->fd, room, left < room_size ? (size_t)left : room_size, (off_t)position);
  if (got < 0) return archive_fail(error, errno, "", "cannot read the archive");
  if (got == 0) return archive_fail(error, EIO, "", "cannot read the archive: its file became shorter");
  *bytes = room;
  *size = (size_t)got;
  return 1;
}

/* ---- what JavaScript sees: src/sys/arrival.ts has the types ---- */

/* arrivalOpen(fd, size): a handle for a file that has its first bytes, and will have so many. */
static napi_value open_arrival(napi_env env, napi_callback_info info) {
  size_t count = 2;
  int32_t fd = -1;
  int64_t size = 0;
  napi_value arguments[2], handle;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_value_int32(env, arguments[0], &fd);
  napi_get_value_int64(env, arguments[1], &size);
  struct stat st;
  struct arrival *a = calloc(1, sizeof *a);
  if (!a) return addon_throw_errno(env, ENOMEM, "arrivalOpen");
  a->socket = -1;
  a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (a->fd < 0 || fstat(a->fd, &st)) {
    int number = errno;
    if (a->fd >= 0) close(a->fd);
    free(a);
    return addon_throw_errno(env, number, "arrivalOpen");
  }
  char self[32];
  snprintf(self, sizeof self, "/proc/self/fd/%d", a->fd);
  a->direct = open(self, O_WRONLY | O_DIRECT | O_CLOEXEC);
  a->size = (uint64_t)size;
  a->kept = a->arrived = a->ring_from = (uint64_t)st.st_size;
  pthread_mutex_init(&a->lock, NULL);
  pthread_cond_init(&a->changed, NULL);
  napi_create_external(env, a, finalize, NULL, &handle);
  return handle;
}

/* arrivalKept(handle, bytes): others have written into the file up to there. */
static napi_value kept(napi_env env, napi_callback_info info) {
  size_t count = 2;
  int64_t bytes = 0;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct arrival *a = arrival_of(env, arguments[0]);
  napi_get_value_int64(env, arguments[1], &bytes);
  if (!a) return NULL;
  pthread_mutex_lock(&a->lock);
  a->kept = a->arrived = a->ring_from = (uint64_t)bytes;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

/* arrivalOffset(handle): bytes in the file. */
static napi_value offset(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle, value;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct arrival *a = arrival_of(env, handle);
  uint64_t bytes = 0;
  if (a) {
    pthread_mutex_lock(&a->lock);
    bytes = a->kept;
    pthread_mutex_unlock(&a->lock);
  }
  napi_create_double(env, (double)bytes, &value);
  return value;
}

/* arrivalEnd(handle, left): nothing more comes; with `left` followers fail, else they go on to the end. */
static napi_value end(napi_env env, napi_callback_info info) {
  size_t count = 2;
  bool left = false;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct arrival *a = arrival_of(env, arguments[0]);
  napi_get_value_bool(env, arguments[1], &left);
  if (!a) return NULL;
  pthread_mutex_lock(&a->lock);
  a->ended = true;
  a->left |= left;
  pthread_cond_broadcast(&a->changed);
  arrival_give_up_room(a);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

int register_arrival_receive(napi_env env, napi_value exports);

int register_arrival(napi_env env, napi_value exports) {
  return addon_function(env, exports, "arrivalOpen", open_arrival) || register_arrival_receive(env, exports) ||
         addon_function(env, exports, "arrivalKept", kept) || addon_function(env, exports, "arrivalOffset", offset) || addon_function(env, exports, "arrivalEnd", end);
}
