#define _GNU_SOURCE
#include "scheduling.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1

/* sched_setattr(2); no header of this libc has it. */
struct scheduler_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int set_affinity(struct failure *failure, const char *list) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const char *at = list;
  while (*at) {
    char *end;
    unsigned long from = strtoul(at, &end, 10), to = from;
    if (end == at) return fail(failure, EINVAL, "affinity", list);
    if (*end == '-') {
      at = end + 1;
      to = strtoul(at, &end, 10);
      if (end == at) return fail(failure, EINVAL, "affinity", list);
    }
    if (to < from || to >= CPU_SETSIZE || (*end && *end != ',')) return fail(failure, EINVAL, "affinity", list);
    for (unsigned long cpu = from; cpu <= to; cpu++) CPU_SET(cpu, &set);
    at = end + (*end == ',');
  }
  return sched_setaffinity(0, sizeof set, &set) ? fail_errno(failure, "affinity", list) : 0;
}

static int set_scheduler(struct failure *failure, const struct exec_step *step) {
  struct scheduler_attributes attributes = {
      .size = sizeof attributes,
      .policy = step->scheduler.policy,
      .flags = step->scheduler.flags,
      .nice = step->scheduler.nice,
      .priority = step->scheduler.priority,
      .runtime = step->scheduler.runtime,
      .deadline = step->scheduler.deadline,
      .period = step->scheduler.period,
  };
  return syscall(SYS_sched_setattr, 0, &attributes, 0) ? fail_errno(failure, "scheduler", "") : 0;
}

static int set_memory_policy(struct failure *failure, const struct exec_step *step) {
  unsigned long nodes[MEMORY_NODES_MAX / 8 / sizeof(unsigned long)] = {0};
  memcpy(nodes, step->memory_nodes.bytes, step->memory_nodes.length);
  /* One more than the number of bits: set_mempolicy(2). */
  return syscall(SYS_set_mempolicy, step->memory_policy, nodes, MEMORY_NODES_MAX + 1) ? fail_errno(failure, "memoryPolicy", "") : 0;
}

/* Whoever called us may be bound to some CPUs: the container may use those of its cpuset. A scheduler like
 * SCHED_DEADLINE forbids it, and then nobody was bound. */
static void reset_affinity(void) {
  unsigned char all[1024];
  memset(all, 0xff, sizeof all);
  if (sched_setaffinity(0, sizeof all, (cpu_set_t *)all)) errno = 0;
}

int set_scheduling(struct failure *failure, const struct exec_step *step) {
  if (step->affinity_final[0]) {
    if (set_affinity(failure, step->affinity_final)) return -1;
  } else if (!step->affinity_initial[0]) reset_affinity();
  if (step->has_personality && personality(step->personality) < 0) return fail_errno(failure, "personality", "");
  if (step->has_scheduler && set_scheduler(failure, step)) return -1;
  if (step->has_io_priority && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, step->io_priority)) return fail_errno(failure, "ioPriority", "");
  if (step->has_memory_policy && set_memory_policy(failure, step)) return -1;
  return 0;
}
