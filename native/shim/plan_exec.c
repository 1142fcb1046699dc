#include "decoder.h"

static void decode_user(struct decoder *d, struct exec_step *step) {
  struct reader *r = &d->reader;
  step->uid = read_u32(r);
  step->gid = read_u32(r);
  step->gids = decode_list(d, &step->gid_count, sizeof *step->gids, 4);
  for (uint32_t i = 0; i < step->gid_count; i++) step->gids[i] = read_u32(r);
  step->umask = read_u32(r);
  step->user_spec = read_string(r);
  step->group_specs = decode_strings(d);
}

static void decode_limits(struct decoder *d, struct exec_step *step) {
  struct reader *r = &d->reader;
  step->has_capabilities = read_bool(r);
  if (step->has_capabilities) {
    step->bounding = read_u64(r);
    step->effective = read_u64(r);
    step->permitted = read_u64(r);
    step->inheritable = read_u64(r);
    step->ambient = read_u64(r);
  }
  step->rlimits = decode_list(d, &step->rlimit_count, sizeof *step->rlimits, 20);
  for (uint32_t i = 0; i < step->rlimit_count; i++) {
    step->rlimits[i].resource = read_u32(r);
    step->rlimits[i].soft = read_u64(r);
    step->rlimits[i].hard = read_u64(r);
  }
  step->no_new_privileges = read_bool(r);
  step->has_oom_score = read_bool(r);
  if (step->has_oom_score) step->oom_score = (int32_t)read_u32(r);
}

static void decode_seccomp(struct decoder *d, struct exec_step *step) {
  struct reader *r = &d->reader;
  step->has_seccomp = read_bool(r);
  if (!step->has_seccomp) return;
  step->seccomp = read_blob(r);
  /* struct sock_filter has 8 bytes; BPF_MAXINSNS of them at most. */
  if (step->seccomp.length % 8 || step->seccomp.length > 4096 * 8 || !step->seccomp.length) r->bad = true;
  step->seccomp_flags = read_u32(r);
  step->listener_path = read_string(r);
  step->listener_state = read_string(r);
}

static void decode_scheduling(struct decoder *d, struct exec_step *step) {
  struct reader *r = &d->reader;
  step->has_io_priority = read_bool(r);
  if (step->has_io_priority) step->io_priority = read_u32(r);
  step->has_scheduler = read_bool(r);
  if (step->has_scheduler) {
    step->scheduler.policy = read_u32(r);
    step->scheduler.flags = read_u64(r);
    step->scheduler.nice = (int32_t)read_u32(r);
    step->scheduler.priority = read_u32(r);
    step->scheduler.runtime = read_u64(r);
    step->scheduler.deadline = read_u64(r);
    step->scheduler.period = read_u64(r);
  }
  step->has_personality = read_bool(r);
  if (step->has_personality) step->personality = read_u32(r);
  step->has_memory_policy = read_bool(r);
  if (step->has_memory_policy) {
    step->memory_policy = read_u32(r);
    step->memory_nodes = read_blob(r);
    /* The kernel reads whole words. */
    if (step->memory_nodes.length % sizeof(unsigned long) || step->memory_nodes.length > MEMORY_NODES_MAX / 8) r->bad = true;
  }
  step->affinity_initial = read_string(r);
  step->affinity_final = read_string(r);
}

void decode_exec(struct decoder *d, void *into) {
  struct exec_step *step = into;
  struct reader *r = &d->reader;
  step->terminal = read_bool(r);
  decode_user(d, step);
  step->cwd = read_string(r);
  step->create_cwd = read_bool(r);
  step->args = decode_strings(d);
  step->env = decode_strings(d);
  decode_limits(d, step);
  step->listener_path = step->listener_state = "";
  decode_seccomp(d, step);
  step->apparmor = read_string(r);
  step->selinux = read_string(r);
  step->keyring = read_string(r);
  decode_scheduling(d, step);
  if (!step->args.count) r->bad = true;
}
