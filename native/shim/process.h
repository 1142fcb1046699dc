/* A process that the shim supervises, init or exec: its streams and who is attached to them. */
#ifndef GANTRY_PROCESS_H
#define GANTRY_PROCESS_H

#include <sys/types.h>

#include "logfile.h"
#include "loop.h"
#include "spawn.h"

struct process;
struct adoption;

/* Output of the process: a pipe, or the pty's master. */
struct stream {
  struct source source;
  struct process *process;
  /* 1 stdout, 2 stderr. */
  uint8_t kind;
  struct log_stream log;
};

/* Someone who reads output and writes input: a stream socket. */
struct attachment {
  struct source source;
  struct process *process;
  struct attachment *next;
  bool in, out, err;
  /* It will not write any more. */
  bool input_ended;
  /* Output that did not fit into its socket. While there is some, the process's output is not read. */
  uint8_t *pending;
  size_t pending_at, pending_length;
};

enum process_state { PROCESS_STARTING, PROCESS_CREATED, PROCESS_RUNNING, PROCESS_EXITED };

struct process {
  /* "" : init. */
  char id[96];
  enum process_state state;
  bool terminal, stdin_once;
  struct spawn spawn;
  /* The status socket while it starts. */
  struct source status;
  bool executing;
  struct failure failure;
  /* Of an exec whose seccomp filter has a listener; else NULL. */
  char *listener_path, *listener_state;
  struct timings *timings;
  /* Made by another runtime; else NULL. */
  struct adoption *adoption;
  pid_t pid;
  int pidfd;
  uint64_t started_at;
  int exit_code;
  uint64_t exited_at;
  bool reaped;
  /* A daemon has heard of its end. */
  bool told;
  struct stream out, err;
  /* The terminal's other end: kept open, else the master would hang up whenever the process has it closed. -1: none. */
  int terminal_peer;
  /* stdin's pipe or a second fd of the pty's master. */
  struct source input;
  uint8_t *input_pending;
  size_t input_at, input_length;
  bool input_closing;
  struct attachment *attachments;
  struct logfile *log;
  /* Who asked for what is under way: answered when it is known. 0: nobody. */
  struct connection *asker;
  uint32_t serial;
  struct process *next;
};

/* Makes pipes for the streams, which belong to `owner`; their other ends go to `child`. 0 or -errno. */
struct owner {
  uid_t uid;
  gid_t gid;
};
int open_streams(struct process *process, const struct owner *owner, bool in, bool out, int child[3]);
/* The pty's master, made by the process itself. */
void set_terminal(struct process *process, int master);
/* Takes over `socket`. */
int attach(struct process *process, int socket, bool in, bool out, bool err);
/* Reads what is there, whatever attachments want. */
void drain_streams(struct process *process);
/* An attachment has output to come that its socket did not take. */
bool has_pending(const struct process *process);
/* Output may still come. */
bool streams_open(const struct process *process);
/* Ends logging and lets attachments go when they have read everything. */
void end_streams(struct process *process);
/* Closes all at once. */
void close_streams(struct process *process);
/* Gives shared buffers back. */
void rest_streams(void);
bool streams_rested(void);

#endif
