#define _GNU_SOURCE
#include "executor.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int join_cgroups(struct context *c, const struct op *op) {
  for (uint32_t i = 0; i < c->cgroup_count; i++) {
    if (c->cgroups[i] < 0) continue;
    if (write(c->cgroups[i], "0", 1) != 1) return fail_errno(&c->failure, "cgroup", op->list.items[i]);
    close(c->cgroups[i]);
    c->cgroups[i] = -1;
  }
  /* After joining, so that its root is the group just joined. */
  if (c->new_cgroup_namespace && unshare(CLONE_NEWCGROUP)) return fail_errno(&c->failure, "unshare", "cgroup");
  return 0;
}

static int run_stage(struct context *c, const struct op *op) {
  if (!strcmp(op->stage, "createContainer")) return run_hook_in(&c->failure, op, c->root, NULL);
  /* The others are run by the shim later, or by run_exec. */
  return !strcmp(op->stage, "prestart") || !strcmp(op->stage, "createRuntime") ? ask_hook(c, c->failure.index) : 0;
}

static int run_op(struct context *c, struct op *op) {
  switch (op->code) {
  case OP_JOIN_CGROUPS:
    return join_cgroups(c, op);
  case OP_ROOT_PROPAGATION:
    return run_root_propagation(c, op);
  case OP_ROOT_OVERLAY:
  case OP_ROOT_BIND:
    return run_root(c, op);
  case OP_MOUNT:
    return run_mount(c, op);
  case OP_BIND:
    return run_bind(c, op);
  case OP_SET_ATTRIBUTES:
    return run_set_attributes(c, op);
  case OP_CGROUP_MOUNT:
    return run_cgroup_mount(c, op);
  case OP_MKDIR:
    return run_mkdir(c, op);
  case OP_MKNOD:
    return run_mknod(c, op);
  case OP_SYMLINK:
    return run_symlink(c, op);
  case OP_CONSOLE:
    return run_console(c, op);
  case OP_PIVOT_ROOT:
    return run_pivot(c, op);
  case OP_READONLY_ROOT:
    return run_readonly_root(c);
  case OP_ROOTFS_PROPAGATION:
    return run_rootfs_propagation(c, op);
  case OP_MASK_PATH:
    return run_mask_path(c, op);
  case OP_READONLY_PATH:
    return run_readonly_path(c, op);
  case OP_HOSTNAME:
    return sethostname(op->name, strlen(op->name)) ? fail_errno(&c->failure, "hostname", op->name) : 0;
  case OP_DOMAINNAME:
    return setdomainname(op->name, strlen(op->name)) ? fail_errno(&c->failure, "domainname", op->name) : 0;
  case OP_SYSCTL:
    return run_sysctl(c, op);
  case OP_TIME_OFFSETS:
    /* Written by the stage process: a time namespace takes them only before it has a process. */
    return 0;
  case OP_HOOK:
    return run_stage(c, op);
  default:
    return fail(&c->failure, ENOSYS, "plan", "");
  }
}

/* What must be had from the host before its root is left. */
static int open_host_things(struct context *c) {
  bool needs_proc = c->step->apparmor[0] || c->step->selinux[0];
  for (uint32_t i = 0; i < c->plan->child.count; i++) needs_proc |= c->plan->child.items[i].code == OP_SYSCTL;
  if (needs_proc && open_proc(c)) return -1;
  return open_null(c);
}

int run_child_ops(struct context *c) {
  const struct ops *ops = &c->plan->child;
  c->failure.section = SECTION_CHILD;
  umask(0);
  if (open_host_things(c)) return -1;
  for (uint32_t i = 0; i < ops->count; i++) {
    c->failure.index = i;
    if (run_op(c, &ops->items[i])) return -1;
    timings_mark(&c->timings, SECTION_CHILD, i);
  }
  return 0;
}

int open_sources(struct context *c) {
  const struct ops *ops = &c->plan->child;
  c->failure.section = SECTION_CHILD;
  for (uint32_t i = 0; i < ops->count; i++) {
    c->failure.index = i;
    if (ops->items[i].code == OP_ROOT_PROPAGATION && run_root_propagation(c, &ops->items[i])) return -1;
    if (!ops->items[i].after_mounts && open_source(c, &ops->items[i])) return -1;
  }
  return 0;
}

static int join_namespace(struct context *c, uint32_t i) {
  const struct plan_namespace *namespace = &c->plan->namespaces[i];
  int fd = c->namespaces[namespace->type];
  c->failure.index = i;
  if (fd < 0) return 0;
  if (setns(fd, (int)namespace_flag(namespace->type))) return fail_errno(&c->failure, "setns", namespace->path ? namespace->path : "");
  close(fd);
  c->namespaces[namespace->type] = -1;
  return 0;
}

/* The current directory is where the root gets attached: in the mount namespace that it will be in. */
static int enter_mountpoint(struct context *c) {
  return c->mountpoint && chdir(c->mountpoint) ? fail_errno(&c->failure, "chdir", c->mountpoint) : 0;
}

int join_namespaces(struct context *c) {
  c->failure.section = SECTION_NAMESPACES;
  if (!c->joins_mount_namespace && enter_mountpoint(c)) return -1;
  for (int user = 0; user < 2; user++)
    for (uint32_t i = 0; i < c->plan->namespace_count; i++)
      if ((c->plan->namespaces[i].type == NS_USER) == user && join_namespace(c, i)) return -1;
  return c->joins_mount_namespace ? enter_mountpoint(c) : 0;
}

int start_loopback(struct context *c) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  c->failure.section = SECTION_NAMESPACES;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(&c->failure, "socket", "lo");
  int error = ioctl(fd, SIOCSIFFLAGS, &request) ? fail_errno(&c->failure, "up", "lo") : 0;
  close(fd);
  return error;
}
