#ifndef GANTRY_SCHEDULING_H
#define GANTRY_SCHEDULING_H

#include "failure.h"

/* CPU affinity, personality, scheduler, I/O and memory policy of the calling process. */
int set_scheduling(struct failure *failure, const struct exec_step *step);

/* Affinity from a list such as "0-3,7". */
int set_affinity(struct failure *failure, const char *list);

#endif
