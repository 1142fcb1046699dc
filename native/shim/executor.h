/* The new process: from clone to execve. Everything here runs in the container's own process (or, for opening sources of a
 * container with a user namespace, in the stage process before it); the first failure ends it. */
#ifndef GANTRY_EXECUTOR_H
#define GANTRY_EXECUTOR_H

#include <sys/types.h>

#include "failure.h"
#include "plan.h"

#define CGROUPS_MAX 64
#define PRESERVED_MAX 256

/* A mount that hides others. */
struct cover {
  int fd;
  bool attached;
};

struct context {
  const struct plan *plan;
  const struct exec_step *step;
  /* Where the new root is attached before pivot_root: a directory of the host that this task owns. */
  const char *mountpoint;
  /* cgroup.procs of the groups to join, opened by the shim; -1: joined already by clone3. */
  int cgroups[CGROUPS_MAX];
  uint32_t cgroup_count;
  bool new_cgroup_namespace;
  /* The user namespace is to be made or joined: the process becomes its root. */
  bool new_user_namespace, joins_user_namespace, joins_mount_namespace;
  /* stdin, stdout, stderr; -1 with a terminal. */
  int stdio[3];
  /* To the shim: a seqpacket socket. */
  int status;
  /* Without a shim: a fifo that the start is read from; else -1. */
  int start_fifo;
  /* fds that the program gets as 3, 4, and so on; above 3 + PRESERVED_MAX, so that their places are free. */
  int preserved[PRESERVED_MAX];
  uint32_t preserved_count;
  /* Namespaces to join, opened by the shim; -1: none. */
  int namespaces[NS_TYPES];

  /* Set while executing. */
  int root;
  int null_device;
  struct cover null_mount;
  struct cover masked_directory;
  int proc;
  int console_master;
  int console;
  char *program;
  char **environment;
  struct failure failure;
  struct timings timings;
};

/* mounts.c: returns 0, or -1 with the failure set. */
int run_root_propagation(struct context *c, const struct op *op);
int open_source(struct context *c, struct op *op);
int run_root(struct context *c, struct op *op);
int run_mount(struct context *c, const struct op *op);
int run_bind(struct context *c, struct op *op);
int run_set_attributes(struct context *c, const struct op *op);
int run_cgroup_mount(struct context *c, const struct op *op);
int run_pivot(struct context *c, const struct op *op);
int run_readonly_root(struct context *c);
int run_rootfs_propagation(struct context *c, const struct op *op);
int run_mask_path(struct context *c, const struct op *op);
int run_readonly_path(struct context *c, const struct op *op);
/* Moves the detached mount `mount` onto `target` inside the root, made as `create` says. Closes nothing. */
int attach_mount(struct context *c, int mount, const char *target, enum create create, mode_t mode);
int set_attributes(struct context *c, int mount, const struct attributes *attributes, const char *subject);

/* nodes.c */
int run_mkdir(struct context *c, const struct op *op);
int run_mknod(struct context *c, const struct op *op);
int run_symlink(struct context *c, const struct op *op);
int run_console(struct context *c, const struct op *op);
int run_sysctl(struct context *c, const struct op *op);
/* A detached proc of the task's pid namespace, opened once: the only one that is ever written to. */
int open_proc(struct context *c);
/* A pty from the container's devpts; the master and the other end. */
int open_console(struct context *c, uint32_t width, uint32_t height);
/* The host's /dev/null, checked to be that device. */
int open_null(struct context *c);

/* child.c */
int run_child_ops(struct context *c);
/* Joins the namespaces that were opened; the user namespace last. */
int join_namespaces(struct context *c);
/* Loopback of the network namespace we are in, which is new. */
int start_loopback(struct context *c);
/* Opens what the plan's mounts are made of, with the host's rights. */
int open_sources(struct context *c);

/* process.c: everything up to where a created task waits, and the rest. run_exec returns only on failure. */
int prepare_exec(struct context *c);
int run_exec(struct context *c);

/* status.c: a failure and the moment before execve; say_ready returns 0 when the program may run, -1 when nobody wants it any more. */
void send_failure(struct context *c);
void send_executing(struct context *c);
int say_ready(struct context *c, bool wait);
/* Asks the shim to run the hook op `index` in the host's namespaces, and waits for it. */
int ask_hook(struct context *c, uint32_t index);

/* Asks the shim, who has the host's rights and proc, to give the detached mount the id map of the bind op `index`. */
int ask_idmap(struct context *c, uint32_t index, int mount);
/* The shim takes the listener of a seccomp filter and gives it to whoever listens. Closes it. */
int hand_over_listener(struct context *c, int listener);

/* hook.c: runs a hook with the state on its stdin. */
int run_hook(struct failure *failure, const struct op *op, int pid);
/* The same, in the directory `cwd` (-1: ours) and with `env` for a hook that has no environment of its own. */
int run_hook_in(struct failure *failure, const struct op *op, int cwd, char **env);

#endif
