/* The supervisor of one task: one process with one loop. The daemon may come and go.
 *
 *   <folder>/shim.sock   for daemons, mode 0600, same user only
 *   <folder>/task        text, for whoever has to clean up after a killed shim: "cgroup PATH" lines; "pid N STARTTIME" without groups
 *   <folder>/spec.json   the daemon's, removed with the rest
 *   <folder>/exit        "CODE NANOSECONDS OOM\n", once the task is over
 */
#ifndef GANTRY_SHIM_H
#define GANTRY_SHIM_H

#include "message.h"
#include "process.h"

/* Of these messages; told with the status, so that a later daemon knows whom it talks to. */
#define SHIM_VERSION 1
#define CONNECTIONS_MAX 8
#define REQUEST_MAX (256u << 10)

/* From a daemon: u8 type, u32 serial, then what requests.c reads for it. */
enum request { REQUEST_CREATE = 1, REQUEST_START, REQUEST_SIGNAL, REQUEST_ATTACH, REQUEST_RESIZE, REQUEST_EXEC, REQUEST_STATUS, REQUEST_RELEASE, REQUEST_ADOPT_EXEC, REQUEST_LOG };

/* To a daemon: u8 type, u32 serial (0 for EXITED and EXEC_EXITED), then what replies.c writes for it. */
enum reply { REPLY_OK = 1, REPLY_FAILED, REPLY_CREATED, REPLY_STARTED, REPLY_EXITED, REPLY_EXEC_STARTED, REPLY_EXEC_EXITED, REPLY_STATUS };

struct connection {
  struct source source;
};

struct shim {
  char *folder;
  struct process init;
  struct process *execs;
  struct logfile log;
  struct connection connections[CONNECTIONS_MAX];
  struct source listener, signals;
  bool private_pids;
  /* Of init: held over its end, so that taking its mounts apart does not delay the news of it. */
  int mount_namespace;
  struct strings cgroups;
  struct ops teardown;
  /* The host's ids of the container's root. */
  struct owner owner;
  uint64_t oom_kills_before;
  bool oom_killed;
  /* Exit of init is being told: waits for the end of its output, at most until `deadline`. */
  bool finishing, finished;
  uint64_t deadline;
  bool release;

  /* While the task starts. */
  struct plan *plan;
  struct arena arena;
  void *request;
  size_t request_size;
  void *plan_bytes;
  size_t plan_size;
};

extern struct shim shim;

/* Serves one task; `socket` has its CREATE request. Never returns. */
__attribute__((noreturn)) void shim_main(int socket);

/* create.c: reads the request from `socket` and starts init; on failure everything is undone, the failure is sent, and the process ends. */
void create_task(int socket);
void free_plan(void);
/* Init's pid is known: opens what of it is held. */
void hold_init(void);
__attribute__((noreturn)) void give_up(const struct failure *failure);

/* processes.c */
/* Of an init that another runtime made: has it started by the plan's hook. 0, or -1 with the failure set. */
int start_adopted(struct failure *failure);
void watch_status(struct process *process);
void status_ready(struct source *source, uint32_t events);
void reap(void);
struct process *find_process(const char *id);
void free_exec(struct process *process);
/* Frees execs whose end is known to a daemon and whose output has been read. */
void forget_execs(void);
/* Init is gone: kills what is left, tells when its output has ended. */
void finish_when_drained(void);

/* requests.c */
void connection_open(int socket);
void connection_close(struct connection *connection);
bool connected(void);
void reply_ok(struct connection *connection, uint32_t serial);
void reply_failure(struct connection *connection, uint32_t serial, const struct failure *failure);
void reply_created(struct process *process);
void reply_started(struct process *process);
/* To every daemon. */
void tell_exit(struct process *process);

/* record.c: 0 or -errno */
int write_task_file(pid_t init);
int write_exit_record(void);
void remove_folder(bool with_record);

#endif
