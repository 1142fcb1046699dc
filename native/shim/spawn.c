#define _GNU_SOURCE
#include "spawn.h"
#include "executor.h"
#include "files.h"
#include "host.h"
#include "message.h"
#include "scheduling.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <linux/limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the child needs, made before the clone. */
struct making {
  struct spawn *spawn;
  struct context context;
  int gate[2];
  int status[2];
  /* A v2 group for CLONE_INTO_CGROUP, or -1. */
  int into_cgroup;
  uint64_t flags;
  bool staged;
};

/* ---- the child ---- */

static void keep_open(struct making *m, int *keep, size_t *count) {
  struct context *c = &m->context;
  for (int i = 0; i < 3; i++) keep[(*count)++] = c->stdio[i];
  for (int i = 0; i < NS_TYPES; i++) keep[(*count)++] = c->namespaces[i];
  for (uint32_t i = 0; i < c->preserved_count; i++) keep[(*count)++] = c->preserved[i];
  for (uint32_t i = 0; i < c->cgroup_count; i++) keep[(*count)++] = c->cgroups[i];
  keep[(*count)++] = m->status[1];
  keep[(*count)++] = m->gate[0];
  keep[(*count)++] = m->gate[1];
  keep[(*count)++] = m->into_cgroup;
  keep[(*count)++] = m->spawn->init_pidfd;
  keep[(*count)++] = m->spawn->start_fifo;
}

static void drop_other_fds(struct making *m) {
  int keep[CGROUPS_MAX + NS_TYPES + PRESERVED_MAX + 16];
  size_t count = 0;
  keep_open(m, keep, &count);
  close_all_but(keep, count);
}

/* What is left until the program is executed: nobody who looks into a created container finds anything of the host. */
static void drop_all_fds(struct context *c) {
  int keep[PRESERVED_MAX + 3] = {c->status, c->start_fifo, c->console_master};
  memcpy(keep + 3, c->preserved, c->preserved_count * sizeof *keep);
  close_all_but(keep, 3 + c->preserved_count);
}

static int wait_at_gate(struct making *m) {
  char byte;
  close(m->gate[1]);
  ssize_t got;
  while ((got = read(m->gate[0], &byte, 1)) < 0 && errno == EINTR);
  close(m->gate[0]);
  return got == 1 ? 0 : -1;
}

/* Root of the new user namespace, now that ids are mapped. */
static int become_root(struct context *c) {
  c->failure.section = SECTION_PARENT;
  /* Groups cannot be set where the maps deny it. */
  if (setgroups(0, NULL) && errno != EPERM) return fail_errno(&c->failure, "idMaps", "setgroups");
  if (setresgid(0, 0, 0) || setresuid(0, 0, 0)) return fail_errno(&c->failure, "idMaps", "0");
  return 0;
}

static int set_up(struct making *m) {
  struct context *c = &m->context;
  timings_start(&c->timings, m->spawn->trace);
  if (c->new_user_namespace && become_root(c)) return -1;
  if (!m->spawn->plan) return 0;
  if (!m->staged && join_namespaces(c)) return -1;
  if (m->flags & CLONE_NEWNET && start_loopback(c)) return -1;
  if (c->joins_user_namespace && become_root(c)) return -1;
  timings_mark(&c->timings, SECTION_NAMESPACES, 0);
  return run_child_ops(c);
}

__attribute__((noreturn)) static void child_main(struct making *m) {
  struct context *c = &m->context;
  c->status = m->status[1];
  if (m->staged && wait_at_gate(m)) _exit(1);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  setsid();
  reset_signals();
  if (c->start_fifo >= 0) end_on_signals();
  if (!m->staged) drop_other_fds(m);
  if (!set_up(m) && !prepare_exec(c)) {
    drop_all_fds(c);
    if (say_ready(c, m->spawn->wait)) _exit(1);
    send_executing(c);
    run_exec(c);
  }
  send_failure(c);
  _exit(1);
}

/* ---- clone ---- */

static pid_t clone_child(struct making *m, uint64_t more) {
  struct clone_args args = {.flags = m->flags | more, .exit_signal = more & CLONE_PARENT ? 0 : SIGCHLD};
  if (m->into_cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)m->into_cgroup;
  }
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) child_main(m);
  return pid;
}

/* The stage is born in the v2 group: from inside the task's cgroup namespace it could not move there (nsdelegate). */
static pid_t fork_into_cgroup(struct making *m) {
  struct clone_args args = {.exit_signal = SIGCHLD};
  if (m->into_cgroup >= 0) {
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)m->into_cgroup;
  }
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) m->into_cgroup = -1;
  return pid;
}

__attribute__((noreturn)) static void stage_failed(struct making *m) {
  m->context.status = m->status[1];
  send_failure(&m->context);
  _exit(1);
}

/* Clones the child as a sibling, tells its pid, and opens the gate when nobody else must. */
__attribute__((noreturn)) static void stage_clone(struct making *m, bool shim_opens_gate) {
  pid_t pid = clone_child(m, CLONE_PARENT);
  if (pid < 0) {
    m->context.failure.section = SECTION_CLONE;
    fail_errno(&m->context.failure, "clone", "");
    stage_failed(m);
  }
  uint8_t bytes[5];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_PID);
  write_u32(&writer, (uint32_t)pid);
  if (message_send(m->status[1], bytes, sizeof bytes, NULL, 0, 0)) _exit(1);
  if (!shim_opens_gate && write(m->gate[1], "", 1) != 1) _exit(1);
  _exit(0);
}

/* ---- init ---- */

static const struct op *find_op(const struct ops *ops, uint8_t code) {
  for (uint32_t i = 0; i < ops->count; i++)
    if (ops->items[i].code == code) return &ops->items[i];
  return NULL;
}

static int write_time_offsets(struct context *c) {
  const struct op *op = find_op(&c->plan->child, OP_TIME_OFFSETS);
  if (unshare((int)namespace_flag(NS_TIME))) return fail_errno(&c->failure, "unshare", "time");
  int error = op ? write_file("/proc/self/timens_offsets", op->data) : 0;
  return error ? fail(&c->failure, -error, "timeOffsets", op->data) : 0;
}

__attribute__((noreturn)) static void init_stage(struct making *m, bool new_time, bool sources) {
  struct context *c = &m->context;
  c->failure.section = SECTION_NAMESPACES;
  drop_other_fds(m);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (new_time && write_time_offsets(c)) stage_failed(m);
  if (sources) {
    if (unshare(CLONE_NEWNS)) {
      fail_errno(&c->failure, "unshare", "mount");
      stage_failed(m);
    }
    if (open_sources(c)) stage_failed(m);
  }
  if (join_namespaces(c)) stage_failed(m);
  /* Else the child's proc files would be root's, and an ordinary user could not write its id maps. */
  if (c->new_user_namespace && geteuid()) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  stage_clone(m, c->new_user_namespace);
}

bool has_private_pids(const struct plan *plan) {
  for (uint32_t i = 0; i < plan->namespace_count; i++)
    if (plan->namespaces[i].type == NS_PID) return plan->namespaces[i].kind == NS_NEW;
  return false;
}

static int open_cgroups(struct making *m, const struct strings *paths, struct failure *failure) {
  if (paths->count > CGROUPS_MAX) return fail(failure, E2BIG, "cgroup", "");
  for (uint32_t i = 0; i < paths->count; i++) {
    int error = open_cgroup(paths->items[i], &m->context.cgroups[i], &m->into_cgroup);
    if (error) return fail(failure, -error, "cgroup", paths->items[i]);
    m->context.cgroup_count = i + 1;
  }
  return 0;
}

static int open_namespaces(struct making *m, struct failure *failure) {
  const struct plan *plan = m->spawn->plan;
  failure->section = SECTION_NAMESPACES;
  for (uint32_t i = 0; i < plan->namespace_count; i++) {
    const struct plan_namespace *namespace = &plan->namespaces[i];
    failure->index = i;
    int fd = -1;
    if (namespace->kind == NS_JOIN) {
      fd = open(namespace->path, O_RDONLY | O_CLOEXEC);
      if (fd < 0) return fail_errno(failure, "namespace", namespace->path);
    } else if (namespace->kind == NS_JOIN_FD) {
      if (namespace->index >= m->spawn->plan_fd_count) return fail(failure, EBADF, "namespace", "");
      int given = m->spawn->plan_fds[namespace->index];
      /* A user namespace is told by what it owns. */
      fd = namespace->type == NS_USER ? ioctl(given, NS_GET_USERNS) : fcntl(given, F_DUPFD_CLOEXEC, 3);
      if (fd < 0) return fail_errno(failure, "namespace", "");
    }
    m->context.namespaces[namespace->type] = fd;
  }
  return 0;
}

static void making_start(struct making *m, struct spawn *spawn) {
  memset(m, 0, sizeof *m);
  m->spawn = spawn;
  m->gate[0] = m->gate[1] = m->status[0] = m->status[1] = m->into_cgroup = -1;
  struct context *c = &m->context;
  c->plan = spawn->plan;
  c->step = spawn->plan ? &spawn->plan->exec : &spawn->exec_plan->exec;
  c->mountpoint = spawn->mountpoint;
  c->start_fifo = spawn->start_fifo;
  memcpy(c->stdio, spawn->stdio, sizeof c->stdio);
  c->preserved_count = spawn->preserved_count;
  for (uint32_t i = 0; i < spawn->preserved_count; i++) c->preserved[i] = spawn->preserved[i];
  for (int i = 0; i < NS_TYPES; i++) c->namespaces[i] = -1;
  for (int i = 0; i < CGROUPS_MAX; i++) c->cgroups[i] = -1;
  c->root = c->null_device = c->null_mount.fd = c->masked_directory.fd = c->proc = c->console = c->console_master = -1;
}

static void close_one(int fd) {
  if (fd >= 0) close(fd);
}

/* The parent's copies of what only the child needs. */
static void making_end(struct making *m) {
  for (int i = 0; i < NS_TYPES; i++) close_one(m->context.namespaces[i]);
  for (uint32_t i = 0; i < m->context.cgroup_count; i++) close_one(m->context.cgroups[i]);
  close_one(m->into_cgroup);
  close_one(m->status[1]);
  close_one(m->gate[0]);
}

static int open_channels(struct making *m, struct failure *failure) {
  failure->section = SECTION_CLONE;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->status)) return fail_errno(failure, "socketpair", "");
  if (m->staged && pipe2(m->gate, O_CLOEXEC)) return fail_errno(failure, "pipe", "");
  return 0;
}

/* Id maps of mounts are written through the host's proc, by the host's pids. */
static bool has_mapped_mounts(const struct plan *plan) {
  for (uint32_t i = 0; i < plan->child.count; i++) {
    const struct op *op = &plan->child.items[i];
    if ((op->code == OP_BIND || op->code == OP_ROOT_OVERLAY || op->code == OP_ROOT_BIND) && op->uid_map[0]) return true;
  }
  return false;
}

/* `sources`: what is mounted must be opened before the clone. */
static void choose_namespaces(struct making *m, bool *new_time, bool *sources) {
  const struct plan *plan = m->spawn->plan;
  *sources = has_mapped_mounts(plan);
  for (uint32_t i = 0; i < plan->namespace_count; i++) {
    const struct plan_namespace *namespace = &plan->namespaces[i];
    bool new = namespace->kind == NS_NEW;
    if (namespace->type == NS_TIME && new) *new_time = true;
    else if (namespace->type == NS_CGROUP && new) m->context.new_cgroup_namespace = true;
    else if (new) m->flags |= namespace_flag(namespace->type);
    if (namespace->type == NS_USER) m->staged = true;
    /* An ordinary user has rights over mounts only inside: there the child opens what it mounts. */
    if (namespace->type == NS_USER && !geteuid()) *sources = true;
    if (namespace->type == NS_USER && new) m->context.new_user_namespace = true;
    if (namespace->type == NS_USER && !new) m->context.joins_user_namespace = true;
    if (namespace->type == NS_MOUNT && !new) m->context.joins_mount_namespace = true;
    if (namespace->type == NS_PID && !new) m->staged = true;
  }
  m->staged |= *new_time || *sources;
}

static int start(struct making *m, struct failure *failure, pid_t pid) {
  if (pid < 0) {
    failure->section = SECTION_CLONE;
    fail_errno(failure, "clone", "");
    close_one(m->status[0]);
    close_one(m->gate[1]);
    making_end(m);
    return -1;
  }
  struct spawn *spawn = m->spawn;
  spawn->status = m->status[0];
  spawn->stage = m->staged ? pid : 0;
  spawn->pid = m->staged ? 0 : pid;
  spawn->gate = m->staged && m->context.new_user_namespace ? m->gate[1] : -1;
  if (spawn->gate < 0) close_one(m->gate[1]);
  making_end(m);
  return 0;
}

static int abandon(struct making *m) {
  close_one(m->status[0]);
  close_one(m->gate[1]);
  making_end(m);
  return -1;
}

int spawn_init(struct spawn *spawn, struct failure *failure) {
  struct making m;
  bool new_time = false, sources = false;
  making_start(&m, spawn);
  choose_namespaces(&m, &new_time, &sources);
  const struct op *join = find_op(&spawn->plan->child, OP_JOIN_CGROUPS);
  if (open_namespaces(&m, failure)) return abandon(&m);
  failure->section = SECTION_CHILD;
  failure->index = join ? (uint32_t)(join - spawn->plan->child.items) : 0;
  if (join && open_cgroups(&m, &join->list, failure)) return abandon(&m);
  if (open_channels(&m, failure)) return abandon(&m);
  pid_t pid = !m.staged ? clone_child(&m, 0) : m.context.namespaces[NS_CGROUP] >= 0 ? fork_into_cgroup(&m) : fork();
  if (pid == 0) init_stage(&m, new_time, sources);
  return start(&m, failure, pid);
}

/* ---- exec ---- */

static int exec_prepare(struct making *m) {
  struct context *c = &m->context;
  const struct exec_plan *plan = m->spawn->exec_plan;
  c->failure.section = SECTION_EXEC;
  if (c->step->has_oom_score) {
    char text[16];
    snprintf(text, sizeof text, "%d", c->step->oom_score);
    int error = write_file("/proc/self/oom_score_adj", text);
    if (error) return fail(&c->failure, -error, "oomScoreAdj", text);
  }
  if (c->step->affinity_initial[0] && set_affinity(&c->failure, c->step->affinity_initial)) return -1;
  if (open_null(c)) return -1;
  for (uint32_t i = 0; i < c->cgroup_count; i++)
    if (c->cgroups[i] >= 0 && write(c->cgroups[i], "0", 1) != 1) return fail_errno(&c->failure, "cgroup", plan->cgroups.items[i]);
  int mask = 0;
  for (uint8_t type = 0; type < NS_TYPES; type++)
    if (plan->namespaces >> type & 1) mask |= (int)namespace_flag(type);
  /* Root joins the user namespace last, as another namespace may belong to the host's; an ordinary user has rights only with it. */
  int others = geteuid() ? 0 : mask & ~CLONE_NEWUSER;
  if (others && setns(m->spawn->init_pidfd, others)) return fail_errno(&c->failure, "setns", "");
  mask &= ~others;
  if (mask && setns(m->spawn->init_pidfd, mask)) return fail_errno(&c->failure, "setns", "user");
  c->new_user_namespace = plan->namespaces >> NS_USER & 1;
  if ((c->step->apparmor[0] || c->step->selinux[0]) && open_proc(c)) return -1;
  c->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (c->root < 0) return fail_errno(&c->failure, "open", "/");
  return c->step->terminal ? open_console(c, m->spawn->width, m->spawn->height) : 0;
}

int spawn_exec(struct spawn *spawn, struct failure *failure) {
  struct making m;
  making_start(&m, spawn);
  m.staged = true;
  failure->section = SECTION_EXEC;
  failure->index = 0;
  if (open_cgroups(&m, &spawn->exec_plan->cgroups, failure) || open_channels(&m, failure)) return abandon(&m);
  pid_t pid = fork_into_cgroup(&m);
  if (pid == 0) {
    drop_other_fds(&m);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (exec_prepare(&m)) stage_failed(&m);
    stage_clone(&m, false);
  }
  return start(&m, failure, pid);
}
