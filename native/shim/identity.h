/* Users and groups of a root file system, by Docker's rules for USER and --group-add. */
#ifndef GANTRY_IDENTITY_H
#define GANTRY_IDENTITY_H

#include <sys/types.h>

#include "failure.h"

#define GROUPS_MAX 1024
#define ID_MAX 2147483647

struct identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[GROUPS_MAX];
  uint32_t group_count;
  char home[1024];
};

/* Who the step's process is, from its numbers or its user and group texts; reads etc/passwd and etc/group below `root`.
 * Failures have step "user" or "group", the name as subject, and ENOENT (no entry), ERANGE (beyond 0-2147483647) or what
 * reading the file gave. */
int resolve_identity(struct failure *failure, int root, const struct exec_step *step, struct identity *identity);

#endif
