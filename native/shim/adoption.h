/* Processes that another OCI runtime makes. Its command is our child, with the container's streams; what it leaves behind becomes
 * ours, as we are the subreaper:
 *
 *   shim ──spawn──▶ command "create" or "exec": makes the process, sends its terminal to `console`, writes its pid to `pid_file`, ends with 0
 *   shim ──adopts─▶ the process, and supervises it as if it had made it
 */
#ifndef GANTRY_ADOPTION_H
#define GANTRY_ADOPTION_H

#include "process.h"

/* What the command is told as well. `console` "": no terminal; else its first size, if any. */
struct adoption_request {
  const char *pid_file, *console;
  uint32_t width, height;
  /* Tell that init was created, and wait for its start. */
  bool wait;
};

struct adoption {
  struct process *process;
  char *pid_file, *console_path;
  /* Listens for the command; then the connection that the terminal comes by. */
  struct source console;
  uint32_t width, height;
  bool wait;
  bool done;
  /* It ended before its command did. */
  bool ended;
  int status;
};

/* From now on `process` stands for the command. 0, or -1 with the failure set. */
int begin_adoption(struct process *process, const struct adoption_request *request, struct failure *failure);
void end_adoption(struct process *process);
/* The process is still its runtime's command. */
bool is_command(const struct process *process);
/* The command has ended well: takes its process over. 0, or -1 with the failure set. */
int adopt(struct process *process, struct failure *failure);
/* A child that we do not know has ended: it may be what a command is about to name. */
void remember_orphan(pid_t pid, int status);

#endif
