/* The thread that takes a body off its connection, into the ring and the file of an arrival. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"
#include "arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* NEAR: followers within it hold the connection back, until they are in the ring. SLOW: of one slot; then the page cache takes what follows. */
enum { ALIGN = 4096, NEAR = 32 << 20, SLOW_MS = 20, CACHED_AFTER_SLOW = 8 << 20 };

struct receive_call {
  struct archive_job job;
  struct arrival *arrival;
  napi_ref handle;
  uint8_t *head;
  size_t head_size, head_used;
  uint64_t length;
  int stall_ms;
  int broken; /* an errno, EPIPE for an early end */
};

/* A follower is still to read what the ring would lose. */
static bool must_wait(const struct arrival *a, uint64_t from) {
  for (size_t i = 0; i < ARRIVAL_FOLLOWERS; i++) {
    const struct arrival_follower *f = &a->followers[i];
    if (f->used && f->position < from && (f->holds || a->arrived - f->position <= NEAR)) return true;
  }
  return false;
}

/* The slot at an offset of the file is the receiver's: -1 when it has been stopped. */
static int claim(struct arrival *a, uint64_t slot) {
  uint64_t from = slot > ARRIVAL_RING - ARRIVAL_SLOT ? slot - (ARRIVAL_RING - ARRIVAL_SLOT) : 0;
  pthread_mutex_lock(&a->lock);
  while (must_wait(a, from) && !a->stopped && !a->left) pthread_cond_wait(&a->changed, &a->lock);
  bool goes_on = !a->stopped && !a->left;
  if (goes_on && a->ring_from < from) a->ring_from = from;
  pthread_mutex_unlock(&a->lock);
  return goes_on ? 0 : -1;
}

static void publish(struct arrival *a, uint64_t arrived) {
  pthread_mutex_lock(&a->lock);
  a->arrived = arrived;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

/* Somebody follows in the ring, so that nobody will read this from the file soon. */
static bool is_followed(struct arrival *a) {
  bool found = false;
  pthread_mutex_lock(&a->lock);
  for (size_t i = 0; i < ARRIVAL_FOLLOWERS; i++) found |= a->followers[i].used && a->followers[i].position >= a->ring_from;
  pthread_mutex_unlock(&a->lock);
  return found;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What of one slot has arrived goes to the file. A disk that is slow gets it later, by the page cache. */
static int keep(struct arrival *a, uint64_t from, uint64_t to) {
  bool followed = is_followed(a);
  int64_t began = now_ms();
  while (from < to) {
    size_t size = (size_t)(to - from);
    bool direct = a->direct >= 0 && followed && from >= a->cached_until && from % ALIGN == 0 && size >= ALIGN;
    if (direct) size -= size % ALIGN;
    ssize_t written = pwrite(direct ? a->direct : a->fd, a->ring + from % ARRIVAL_RING, size, (off_t)from);
    if (written < 0 && direct && errno == EINVAL) {
      close(a->direct);
      a->direct = -1;
    } else if (written < 0) {
      return -1;
    } else {
      from += (uint64_t)written;
    }
  }
  if (now_ms() - began > SLOW_MS) a->cached_until = to + CACHED_AFTER_SLOW;
  pthread_mutex_lock(&a->lock);
  a->kept = to;
  pthread_mutex_unlock(&a->lock);
  return 0;
}

/* Some more bytes of the body; 0 with `broken` set when none come any more. */
static size_t receive(struct receive_call *call, uint8_t *into, size_t size) {
  if (call->head_used < call->head_size) {
    size_t here = call->head_size - call->head_used;
    if (here < size) size = here;
    memcpy(into, call->head + call->head_used, size);
    call->head_used += size;
    return size;
  }
  struct arrival *a = call->arrival;
  for (bool waited = false;;) {
    ssize_t got = recv(a->socket, into, size, MSG_DONTWAIT);
    if (got > 0) return (size_t)got;
    if (got < 0 && errno == EINTR) continue;
    call->broken = got == 0 ? EPIPE : errno != EAGAIN ? errno : waited ? ETIMEDOUT : 0;
    if (call->broken) return 0;
    struct pollfd wait = {a->socket, POLLIN, 0};
    waited = poll(&wait, 1, call->stall_ms) == 0;
  }
}

static int run_receive(struct archive_job *job) {
  struct receive_call *call = (struct receive_call *)job;
  struct arrival *a = call->arrival;
  uint64_t at = a->arrived, end = at + call->length;
  while (at < end && !call->broken) {
    uint64_t slot = at - at % ARRIVAL_SLOT, to = slot + ARRIVAL_SLOT < end ? slot + ARRIVAL_SLOT : end, from = at;
    if (claim(a, slot)) call->broken = ECANCELED;
    while (at < to && !call->broken) {
      size_t got = receive(call, a->ring + at % ARRIVAL_RING, (size_t)(to - at));
      if (got) publish(a, at += got);
    }
    if (keep(a, from, at)) return archive_fail(&job->error, errno, "", "cannot write");
  }
  return 0;
}

static napi_value broken_value(napi_env env, struct archive_job *job) {
  struct receive_call *call = (struct receive_call *)job;
  int number = call->arrival->stopped ? ECANCELED : call->broken;
  napi_value value;
  napi_create_string_utf8(env, number ? strerrorname_np(number) : "", NAPI_AUTO_LENGTH, &value);
  return value;
}

static void release(napi_env env, struct archive_job *job) {
  struct receive_call *call = (struct receive_call *)job;
  struct arrival *a = call->arrival;
  pthread_mutex_lock(&a->lock);
  close(a->socket);
  a->socket = -1;
  a->receives = false;
  /* After a failure to write there is more in the ring than in the file: nobody may go on from there. */
  if (a->kept < a->arrived) a->left = true;
  pthread_cond_broadcast(&a->changed);
  arrival_give_up_room(a);
  pthread_mutex_unlock(&a->lock);
  napi_delete_reference(env, call->handle);
  free(call->head);
}

static int prepare(struct receive_call *call, int32_t socket) {
  struct arrival *a = call->arrival;
  if (a->receives) return EBUSY;
  if (a->fd < 0 || call->length > a->size - a->arrived || call->length < call->head_size) return EINVAL;
  if (!a->ring && posix_memalign((void **)&a->ring, ALIGN, ARRIVAL_RING)) return ENOMEM;
  a->socket = fcntl(socket, F_DUPFD_CLOEXEC, 3);
  return a->socket < 0 ? errno : 0;
}

/* arrivalReceive(handle, socket, head, length, stallMilliseconds): a promise of "", or of the name of the errno that broke the connection (EPIPE
 * for its end); it fails when the file cannot be written. length: what is to come, with the head, of which the beginning has been read. */
static napi_value receive_body(napi_env env, napi_callback_info info) {
  size_t count = 5, size = 0;
  int32_t socket = -1;
  int64_t length = 0;
  void *head = NULL;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct arrival *a = arrival_of(env, arguments[0]);
  struct receive_call *call = a ? calloc(1, sizeof *call) : NULL;
  if (!call) return addon_throw_errno(env, a ? ENOMEM : EINVAL, "arrivalReceive");
  napi_get_value_int32(env, arguments[1], &socket);
  napi_get_typedarray_info(env, arguments[2], NULL, &size, &head, NULL, NULL);
  napi_get_value_int64(env, arguments[3], &length);
  napi_get_value_int32(env, arguments[4], &call->stall_ms);
  call->job = (struct archive_job){.run = run_receive, .value = broken_value, .release = release};
  call->arrival = a;
  call->length = (uint64_t)length;
  call->head_size = size;
  call->head = malloc(size + 1);
  int number = call->head ? prepare(call, socket) : ENOMEM;
  if (number) {
    free(call->head);
    free(call);
    return addon_throw_errno(env, number, "arrivalReceive");
  }
  if (size) memcpy(call->head, head, size);
  pthread_mutex_lock(&a->lock);
  a->receives = true;
  a->stopped = false;
  pthread_mutex_unlock(&a->lock);
  napi_create_reference(env, arguments[0], 1, &call->handle);
  return archive_job_start(env, &call->job);
}

/* arrivalStop(handle): ends a receive soon. */
static napi_value stop(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value handle;
  napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
  struct arrival *a = arrival_of(env, handle);
  if (!a) return NULL;
  pthread_mutex_lock(&a->lock);
  a->stopped = true;
  if (a->socket >= 0) shutdown(a->socket, SHUT_RD);
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

int register_arrival_receive(napi_env env, napi_value exports) { return addon_function(env, exports, "arrivalReceive", receive_body) || addon_function(env, exports, "arrivalStop", stop); }
