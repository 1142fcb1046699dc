#define _GNU_SOURCE
#include "files.h"
#include "idmap.h"
#include "spawn.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int run_parent_ops(const struct plan *plan, pid_t pid, struct failure *failure) {
  failure->section = SECTION_PARENT;
  for (uint32_t i = 0; i < plan->parent.count; i++) {
    const struct op *op = &plan->parent.items[i];
    failure->index = i;
    int error = 0;
    if (op->code == OP_ID_MAPS) error = write_id_maps(failure, pid, op);
    else if (op->code == OP_OOM_SCORE_ADJ) {
      char path[64], text[16];
      snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
      snprintf(text, sizeof text, "%d", op->score);
      int code = write_file(path, text);
      if (code) error = fail(failure, -code, "oomScoreAdj", text);
    }
    if (error) return -1;
  }
  return 0;
}

void open_gate(struct spawn *spawn) {
  if (spawn->gate < 0) return;
  /* A child that is gone already shows on the status socket. */
  if (write(spawn->gate, "", 1) < 0) errno = 0;
  close(spawn->gate);
  spawn->gate = -1;
}
