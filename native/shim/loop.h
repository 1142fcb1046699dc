/* One epoll loop; a source is an fd with what to do when it is ready. */
#ifndef GANTRY_LOOP_H
#define GANTRY_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct source {
  int fd;
  /* Epoll events that are waited for; 0: not in the loop. */
  uint32_t events;
  void (*ready)(struct source *source, uint32_t events);
};

int loop_open(void);
/* Waits for `events` on the source's fd; 0 takes it out of the loop (a hung-up fd would else report for ever). */
void watch(struct source *source, uint32_t events);
/* Out of the loop, and the fd closed; -1 then. */
void source_close(struct source *source);
/* Handles what is ready, waiting at most `timeout` milliseconds; -1: for ever. How many sources were ready. */
int loop_turn(int timeout);

#endif
