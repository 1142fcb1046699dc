/*
 * A file that grows while others read it: what comes over a connection goes into a ring of slots, from there to the readers
 * that keep up and to the file. Slots have their place by their offset in the file, so that whole ones can be written past the page cache.
 *
 *   connection ─▶ ring of slots ─▶ followers near the end
 *                      └─▶ file ─▶ followers that are further behind
 */
#ifndef GANTRY_ARRIVAL_H
#define GANTRY_ARRIVAL_H

#include "archive.h"
#include <node_api.h>
#include <pthread.h>

enum { ARRIVAL_SLOT = 512 << 10, ARRIVAL_RING = 4 * ARRIVAL_SLOT, ARRIVAL_FOLLOWERS = 16 };

struct arrival_follower {
  bool used, holds; /* holds: it looks at what is at its position in the ring */
  uint64_t position;
};

struct arrival {
  int fd, direct; /* direct: past the page cache, -1 when the file system cannot */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint8_t *ring;
  uint64_t ring_from, arrived, kept, size; /* [ring_from, arrived) is in the ring, [0, kept) in the file */
  uint64_t cached_until; /* the receiver's own */
  struct arrival_follower followers[ARRIVAL_FOLLOWERS];
  bool left, ended, stopped, receives;
  int socket; /* the receiver's, -1 */
};

/* Of what arrivalOpen gave. NULL when it is something else. */
struct arrival *arrival_of(napi_env env, napi_value handle);
/* A place among the followers, at the file's beginning; -1 when all are taken. */
int arrival_follow(struct arrival *arrival);
void arrival_unfollow(struct arrival *arrival, int follower);
/* What is at the position, once it is there: 1, or 0 at the end, or -1 with the error set, ECANCELED when it has been left, or the caller has.
 * The bytes hold until the next call; room is for those that come from the file. */
int arrival_next(struct arrival *arrival, int follower, const _Atomic bool *cancelled, uint64_t position, uint8_t *room, size_t room_size, const uint8_t **bytes, size_t *size, struct archive_error *error);
/* Frees what nobody needs any more; under the lock. */
void arrival_give_up_room(struct arrival *arrival);
/* Somebody has cancelled. */
void arrival_wake(struct arrival *arrival);

#endif
