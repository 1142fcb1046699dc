#define _GNU_SOURCE
#include "adoption.h"
#include "executor.h"
#include "files.h"
#include "host.h"
#include "idmap.h"
#include "listener.h"
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATUS_SIZE 8192
#define TEARDOWN_NICE 10
/* How long output of processes that outlive init may be waited for. */
#define DRAIN_NANOSECONDS 250000000u

struct process *find_process(const char *id) {
  if (!id[0]) return &shim.init;
  for (struct process *process = shim.execs; process; process = process->next)
    if (!strcmp(process->id, id)) return process;
  return NULL;
}

static bool is_init(const struct process *process) { return process == &shim.init; }

void free_exec(struct process *process) {
  for (struct process **at = &shim.execs; *at; at = &(*at)->next)
    if (*at == process) {
      *at = process->next;
      break;
    }
  close_streams(process);
  end_adoption(process);
  source_close(&process->status);
  if (process->pidfd >= 0) close(process->pidfd);
  free(process->listener_path);
  free(process->listener_state);
  free(process);
}

void forget_execs(void) {
  for (struct process *process = shim.execs, *next; process; process = next) {
    next = process->next;
    if (process->told && !process->attachments) free_exec(process);
  }
}

/* ---- starting ---- */

/* Flags of /proc/PID/stat; include/linux/sched.h. */
#define STAT_FLAGS 9
#define PF_EXITING 4

/* Whatever an exec fails with then, it is because there is nothing any more that it could be in. */
static bool init_is_ending(void) {
  return shim.init.state == PROCESS_EXITED || shim.init.reaped || process_stat(shim.init.pid, STAT_FLAGS) & PF_EXITING;
}

static void start_failed(struct process *process, const struct failure *failure) {
  source_close(&process->status);
  if (is_init(process) && process->state == PROCESS_STARTING) {
    if (process->reaped) process->pid = 0;
    give_up(failure);
  }
  struct failure over = {.section = SECTION_EXEC};
  if (!is_init(process) && init_is_ending()) {
    fail(&over, ESRCH, "exec", "");
    failure = &over;
  }
  if (process->asker) reply_failure(process->asker, process->serial, failure);
  process->asker = NULL;
  /* Init's end is told when it is reaped; of an exec that never was nothing is left to tell. */
  if (!is_init(process)) free_exec(process);
}

static void run_poststart(void) {
  struct failure ignored;
  for (uint32_t i = 0; shim.plan && i < shim.plan->child.count; i++) {
    const struct op *op = &shim.plan->child.items[i];
    if (op->code == OP_HOOK && !strcmp(op->stage, "poststart")) run_hook(&ignored, op, shim.init.pid);
  }
}

static void started(struct process *process) {
  source_close(&process->status);
  process->state = PROCESS_RUNNING;
  process->started_at = clock_nanoseconds(CLOCK_REALTIME);
  /* Before the start returns (runtime-spec, "Lifecycle"); a failure there does not undo it. */
  if (is_init(process)) run_poststart();
  reply_started(process);
  if (is_init(process)) free_plan();
}

static void pid_known(struct process *process, pid_t pid) {
  struct failure failure = {0};
  if (process->pid) return;
  process->pid = pid;
  if (!is_init(process)) process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  else {
    if (run_parent_ops(shim.plan, pid, &failure)) give_up(&failure);
    hold_init();
    if (!shim.cgroups.count) write_task_file(pid);
  }
  open_gate(&process->spawn);
}

static void say_go(struct process *process) {
  uint8_t go = STATUS_GO;
  message_send(process->status.fd, &go, 1, NULL, 0, 0);
}

static void hook_asked(struct process *process, uint32_t index) {
  struct failure failure = {.section = SECTION_CHILD, .index = index};
  if (!is_init(process) || !shim.plan || index >= shim.plan->child.count || shim.plan->child.items[index].code != OP_HOOK) return;
  if (run_hook(&failure, &shim.plan->child.items[index], process->pid)) give_up(&failure);
  say_go(process);
}

static void idmap_asked(struct process *process, uint32_t index, struct message_fds *fds) {
  struct failure failure = {.section = SECTION_CHILD, .index = index};
  if (!is_init(process) || !shim.plan || index >= shim.plan->child.count || shim.plan->child.items[index].code != OP_BIND || !fds->count) return;
  if (idmap_mount(&failure, fds->fds[0], &shim.plan->child.items[index])) give_up(&failure);
  say_go(process);
}

static void listener_given(struct process *process, int fd) {
  struct listener to = {process->listener_path, process->listener_state};
  if (is_init(process) && shim.plan) to = (struct listener){shim.plan->exec.listener_path, shim.plan->exec.listener_state};
  if (!to.path || !to.path[0] || !to.state) return;
  struct failure failure = {.section = SECTION_EXEC};
  if (give_listener(&failure, &to, process->pid, fd)) {
    process->failure = failure;
    kill(process->pid, SIGKILL);
    return;
  }
  say_go(process);
}

static void ready(struct process *process, struct message_fds *fds) {
  bool wanted = process->terminal && process->out.source.fd < 0;
  int master = wanted ? message_take_fd(fds) : -1;
  if (master >= 0) set_terminal(process, master);
  if (!is_init(process) || !process->spawn.wait) return;
  process->state = PROCESS_CREATED;
  reply_created(process);
}

static void merge_timings(struct process *process, struct reader *reader) {
  struct timings *timings = process->timings;
  uint32_t count = read_u32(reader);
  for (uint32_t i = 0; i < count && !reader->bad; i++) {
    struct timing timing = {.section = read_u8(reader)};
    timing.index = read_u32(reader);
    timing.nanoseconds = read_u32(reader);
    if (timings && timings->count < TIMINGS_MAX) timings->items[timings->count++] = timing;
  }
}

static void status_message(struct process *process, struct reader *reader, struct message_fds *fds) {
  switch (read_u8(reader)) {
  case STATUS_PID:
    pid_known(process, (pid_t)read_u32(reader));
    break;
  case STATUS_HOOK:
    hook_asked(process, read_u32(reader));
    break;
  case STATUS_IDMAP:
    idmap_asked(process, read_u32(reader), fds);
    break;
  case STATUS_LISTENER:
    listener_given(process, (int)read_u32(reader));
    break;
  case STATUS_READY:
    ready(process, fds);
    break;
  case STATUS_EXECUTING:
    process->executing = true;
    merge_timings(process, reader);
    break;
  case STATUS_FAILED:
    read_failure(reader, &process->failure);
    break;
  }
  message_close_fds(fds);
}

static void status_ended(struct process *process) {
  struct failure failure = process->failure;
  if (!failure.error && process->executing) {
    /* Of a command it is the end that counts. */
    if (is_command(process)) source_close(&process->status);
    else started(process);
    return;
  }
  if (!failure.error) fail(&failure, ECHILD, "init", "");
  start_failed(process, &failure);
}

void status_ready(struct source *source, uint32_t events) {
  struct process *process = (struct process *)((char *)source - offsetof(struct process, status));
  (void)events;
  for (;;) {
    uint8_t bytes[STATUS_SIZE];
    struct message_fds fds;
    ssize_t length = message_receive(source->fd, bytes, sizeof bytes, &fds, MSG_DONTWAIT);
    if (length == -EAGAIN) return;
    if (length <= 0) {
      status_ended(process);
      return;
    }
    struct reader reader = reader_of(bytes, (size_t)length);
    status_message(process, &reader, &fds);
  }
}

void watch_status(struct process *process) {
  process->status = (struct source){.fd = process->spawn.status, .ready = status_ready};
  watch(&process->status, EPOLLIN);
}

/* ---- ending ---- */

static int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* What follows the news of the end keeps nobody waiting but the task's next start. A hook would inherit that. */
static void give_way(void) {
  for (uint32_t i = 0; i < shim.teardown.count; i++)
    if (shim.teardown.items[i].code == OP_HOOK) return;
  setpriority(PRIO_PROCESS, 0, TEARDOWN_NICE);
}

void finish_when_drained(void) {
  if (!shim.finishing || shim.finished) return;
  drain_streams(&shim.init);
  if (!shim.init.terminal && streams_open(&shim.init) && clock_nanoseconds(CLOCK_MONOTONIC) < shim.deadline) return;
  shim.finished = true;
  end_streams(&shim.init);
  tell_exit(&shim.init);
  give_way();
  if (shim.mount_namespace >= 0) close(shim.mount_namespace);
  shim.mount_namespace = -1;
  run_teardown(&shim.teardown, shim.init.pid);
}

/* Execs that init's end met while they start. Their stages are not init's to take along, and a pause may have frozen them in its groups,
 * which then could never be removed. */
static void end_starting_execs(void) {
  bool any = false;
  for (struct process *process = shim.execs; process; process = process->next) {
    if (process->spawn.stage <= 0) continue;
    kill(process->spawn.stage, SIGKILL);
    any = true;
  }
  if (any || !shim.private_pids) thaw_cgroups(&shim.cgroups);
}

static void init_ended(int status) {
  struct process *init = &shim.init;
  init->state = PROCESS_EXITED;
  init->exit_code = exit_code(status);
  /* A start that failed in execve: Docker's codes for it. */
  if (init->failure.error) init->exit_code = init->failure.error == ENOENT ? 127 : 126;
  init->exited_at = clock_nanoseconds(CLOCK_REALTIME);
  if (!shim.private_pids) kill_cgroups(&shim.cgroups, SIGKILL);
  end_starting_execs();
  drain_streams(init);
  shim.oom_killed = count_oom_kills(&shim.cgroups) > shim.oom_kills_before;
  write_exit_record();
  shim.finishing = true;
  shim.deadline = clock_nanoseconds(CLOCK_MONOTONIC) + DRAIN_NANOSECONDS;
  finish_when_drained();
}

static void exec_ended(struct process *process, int status) {
  process->state = PROCESS_EXITED;
  process->exit_code = exit_code(status);
  process->exited_at = clock_nanoseconds(CLOCK_REALTIME);
  drain_streams(process);
  end_streams(process);
  tell_exit(process);
}

static void process_ended(struct process *process, int status);

/* ---- other runtimes' processes ---- */

int start_adopted(struct failure *failure) {
  for (uint32_t i = 0; shim.plan && i < shim.plan->child.count; i++) {
    const struct op *op = &shim.plan->child.items[i];
    failure->section = SECTION_EXEC;
    if (op->code == OP_HOOK && !strcmp(op->stage, "start") && run_hook(failure, op, shim.init.pid)) return -1;
  }
  started(&shim.init);
  return 0;
}

static void adopted_init(struct process *init, struct failure *failure) {
  if (!init->adoption->ended) hold_init();
  int error = write_task_file(init->pid);
  if (error) {
    fail(failure, -error, "folder", shim.folder);
    give_up(failure);
  }
  if (init->adoption->wait) {
    init->state = PROCESS_CREATED;
    reply_created(init);
  } else if (start_adopted(failure)) give_up(failure);
}

static void command_ended(struct process *process, int status) {
  struct failure failure = process->failure;
  struct adoption *adoption = process->adoption;
  process->reaped = true;
  source_close(&process->status);
  if (!failure.error && !process->executing) fail(&failure, ECHILD, "command", "");
  if (!failure.error && status) fail(&failure, ECHILD, "command", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
  if (failure.error || adopt(process, &failure)) {
    start_failed(process, &failure);
    return;
  }
  if (is_init(process)) adopted_init(process, &failure);
  else {
    if (!adoption->ended) process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    started(process);
  }
  if (adoption->ended) process_ended(process, adoption->status);
}

static void process_ended(struct process *process, int status) {
  if (is_command(process)) {
    command_ended(process, status);
    return;
  }
  bool failed = process->failure.error || !process->executing;
  process->reaped = true;
  /* The stage may still hold the other end of the status socket: with the process gone nothing more can come from it. */
  if (process->status.fd >= 0) {
    status_ended(process);
    if (failed && !is_init(process)) return;
  }
  if (is_init(process)) init_ended(status);
  else exec_ended(process, status);
}

/* What processes said while starting comes before their end. */
static void read_statuses(void) {
  if (shim.init.status.fd >= 0) status_ready(&shim.init.status, 0);
  for (struct process *process = shim.execs, *next; process; process = next) {
    next = process->next;
    if (process->status.fd >= 0) status_ready(&process->status, 0);
  }
}

/* Its pid may soon be another's. */
static void forget_stage(pid_t pid) {
  if (shim.init.spawn.stage == pid) shim.init.spawn.stage = 0;
  for (struct process *process = shim.execs; process; process = process->next)
    if (process->spawn.stage == pid) process->spawn.stage = 0;
}

static struct process *process_of(pid_t pid) {
  if (shim.init.pid == pid) return &shim.init;
  for (struct process *process = shim.execs; process; process = process->next)
    if (process->pid == pid) return process;
  return NULL;
}

void reap(void) {
  siginfo_t info;
  for (;;) {
    info.si_pid = 0;
    /* Looked at first, so that its last words are read before its pid is given back. */
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) return;
    read_statuses();
    int status = 0;
    if (waitpid(info.si_pid, &status, 0) != info.si_pid) continue;
    struct process *process = process_of(info.si_pid);
    if (process && !process->reaped) process_ended(process, status);
    else if (!process) forget_stage(info.si_pid);
    if (!process && shim.init.adoption) remember_orphan(info.si_pid, status);
  }
}
