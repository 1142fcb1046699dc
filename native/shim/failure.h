/* What went wrong, in a form that TypeScript makes a message from. */
#ifndef GANTRY_FAILURE_H
#define GANTRY_FAILURE_H

#include <stdint.h>

#include "plan.h"

struct failure {
  int error;
  uint8_t section;
  uint32_t index;
  char step[32];
  char subject[512];
};

/* Sets error, step and subject, and returns -1. Section and index are set by whoever runs the list of ops. */
int fail(struct failure *failure, int error, const char *step, const char *subject);

/* The same with the current errno. */
int fail_errno(struct failure *failure, const char *step, const char *subject);

void write_failure(struct writer *writer, const struct failure *failure);
bool read_failure(struct reader *reader, struct failure *failure);

/* How long each op took, when asked for. */
#define TIMINGS_MAX 400

struct timing {
  uint8_t section;
  uint32_t index;
  uint32_t nanoseconds;
};

struct timings {
  bool wanted;
  uint32_t count;
  uint64_t last;
  struct timing items[TIMINGS_MAX];
};

void timings_start(struct timings *timings, bool wanted);
/* Records the time since the last mark. */
void timings_mark(struct timings *timings, uint8_t section, uint32_t index);
void write_timings(struct writer *writer, const struct timings *timings);

uint64_t clock_nanoseconds(int clock);

#endif
