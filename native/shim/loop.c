#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <unistd.h>

#define EVENTS_MAX 32

static int loop = -1;
static struct epoll_event events[EVENTS_MAX];
static int event_count, event_at;

int loop_open(void) {
  loop = epoll_create1(EPOLL_CLOEXEC);
  return loop < 0 ? -errno : 0;
}

void watch(struct source *source, uint32_t wanted) {
  if (source->fd < 0 || source->events == wanted) return;
  struct epoll_event event = {.events = wanted, .data.ptr = source};
  epoll_ctl(loop, !wanted ? EPOLL_CTL_DEL : source->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event);
  source->events = wanted;
  /* What was collected for it in this turn must not be told any more. */
  if (!wanted)
    for (int i = event_at + 1; i < event_count; i++)
      if (events[i].data.ptr == source) events[i].data.ptr = 0;
}

void source_close(struct source *source) {
  if (source->fd < 0) return;
  watch(source, 0);
  close(source->fd);
  source->fd = -1;
}

int loop_turn(int timeout) {
  int ready = 0;
  event_count = epoll_wait(loop, events, EVENTS_MAX, timeout);
  for (event_at = 0; event_at < event_count; event_at++) {
    struct source *source = events[event_at].data.ptr;
    if (!source) continue;
    ready++;
    source->ready(source, events[event_at].events);
  }
  event_at = event_count = 0;
  return ready;
}
