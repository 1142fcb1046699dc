/* The second thread of a large stream: takes filled rooms in their order while the first one fills the next. */
#define _GNU_SOURCE
#include "archive.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

enum { ROOMS = 4 };

struct stage {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  stream_output work;
  void *context;
  struct {
    uint8_t *bytes;
    size_t size;
  } rooms[ROOMS];
  uint64_t passed, done; /* counts of rooms, under the lock */
  bool ended, failed;
};

static _Atomic int running;

void stage_count(int change) { running += change; }

bool stage_pays(void) {
  static _Atomic int processors; /* asking takes as long as a small file */
  if (!processors) processors = get_nprocs();
  return running < processors;
}

static void *run(void *context) {
  struct stage *stage = context;
  pthread_mutex_lock(&stage->lock);
  for (;;) {
    while (stage->done == stage->passed && !stage->ended) pthread_cond_wait(&stage->changed, &stage->lock);
    if (stage->done == stage->passed) break;
    size_t at = stage->done % ROOMS;
    bool failed = stage->failed;
    pthread_mutex_unlock(&stage->lock);
    if (!failed) failed = stage->work(stage->context, stage->rooms[at].bytes, stage->rooms[at].size) != 0;
    pthread_mutex_lock(&stage->lock);
    stage->failed = failed;
    stage->done++;
    pthread_cond_broadcast(&stage->changed);
  }
  pthread_mutex_unlock(&stage->lock);
  return NULL;
}

static void stage_free(struct stage *stage) {
  for (size_t i = 0; i < ROOMS; i++) free(stage->rooms[i].bytes);
  pthread_mutex_destroy(&stage->lock);
  pthread_cond_destroy(&stage->changed);
  free(stage);
}

struct stage *stage_start(size_t room_size, stream_output work, void *context) {
  struct stage *stage = calloc(1, sizeof *stage);
  if (!stage) return NULL;
  stage->work = work;
  stage->context = context;
  pthread_mutex_init(&stage->lock, NULL);
  pthread_cond_init(&stage->changed, NULL);
  bool whole = true;
  for (size_t i = 0; i < ROOMS; i++) whole = (stage->rooms[i].bytes = malloc(room_size)) && whole;
  if (whole && !pthread_create(&stage->thread, NULL, run, stage)) return stage;
  stage_free(stage);
  return NULL;
}

int stage_pass(struct stage *stage, uint8_t **room, size_t size) {
  pthread_mutex_lock(&stage->lock);
  while (stage->passed - stage->done == ROOMS && !stage->failed) pthread_cond_wait(&stage->changed, &stage->lock);
  bool failed = stage->failed;
  if (!failed) {
    size_t at = stage->passed++ % ROOMS;
    uint8_t *empty = stage->rooms[at].bytes;
    stage->rooms[at].bytes = *room;
    stage->rooms[at].size = size;
    *room = empty;
    pthread_cond_broadcast(&stage->changed);
  }
  pthread_mutex_unlock(&stage->lock);
  return failed ? -1 : 0;
}

int stage_drain(struct stage *stage) {
  pthread_mutex_lock(&stage->lock);
  while (stage->done < stage->passed) pthread_cond_wait(&stage->changed, &stage->lock);
  bool failed = stage->failed;
  pthread_mutex_unlock(&stage->lock);
  return failed ? -1 : 0;
}

void stage_end(struct stage *stage) {
  pthread_mutex_lock(&stage->lock);
  stage->ended = true;
  pthread_cond_broadcast(&stage->changed);
  pthread_mutex_unlock(&stage->lock);
  pthread_join(stage->thread, NULL);
  stage_free(stage);
}
