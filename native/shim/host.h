/* Host ops of a plan: cgroups and what is written to them. */
#ifndef GANTRY_HOST_H
#define GANTRY_HOST_H

#include <sys/types.h>

#include "failure.h"

int run_host_ops(const struct ops *ops, struct failure *failure, struct timings *timings);

/* Undoes; goes on after errors. The first error, or 0. */
int run_teardown(const struct ops *ops, pid_t init);

/* SIGKILL for every process in the group and the groups below it; how many there were. */
int kill_cgroup(const char *path, int signal);
/* Frozen processes of v1 die only when thawed. */
void thaw_cgroups(const struct strings *paths);
/* Sends `signal` to every process of the first of the groups that can be read. */
int kill_cgroups(const struct strings *paths, int signal);

/* How often the OOM killer ended a process of these groups: v1 memory.oom_control, v2 memory.events. */
uint64_t count_oom_kills(const struct strings *paths);

/* What makes the plan's process the command of another runtime, or NULL. */
const struct op *plan_adoption(const struct plan *plan);

/* Groups that the plan's child joins, or that another runtime makes; empty without any. */
const struct strings *plan_cgroups(const struct plan *plan);

/* Opens the file of a group by which a process joins it into *procs; of the first v2 group the folder, for CLONE_INTO_CGROUP,
 * into *into (-1 before), and *procs is -1. 0 or -errno. */
int open_cgroup(const char *path, int *procs, int *into);

#endif
