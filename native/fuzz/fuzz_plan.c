/* The decoder of plans and exec plans: whatever the bytes, every string of what it accepts ends, and every list is as long as it says. */
#include "../shim/plan.h"

#include <stdlib.h>
#include <string.h>

static size_t touched;

static void touch(const char *text) {
  if (text) touched += strlen(text);
}

static void touch_strings(const struct strings *strings) {
  for (uint32_t i = 0; i < strings->count; i++) touch(strings->items[i]);
  if (strings->items && strings->items[strings->count]) abort();
}

static void touch_op(const struct op *op) {
  const char *texts[] = {op->path, op->target, op->source, op->data, op->fstype, op->upper, op->work, op->to, op->name, op->uid_map, op->gid_map, op->setgroups, op->stage};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) touch(texts[i]);
  touch_strings(&op->list);
  touch_strings(&op->env);
  for (uint32_t i = 0; i < op->program.length; i++) touched += op->program.bytes[i];
  for (uint32_t i = 0; i < op->option_count; i++) touch(op->options[i].key), touch(op->options[i].value);
  for (uint32_t i = 0; i < op->propagation_count; i++) touched += op->propagations[i].type;
  for (uint32_t i = 0; i < op->hierarchy_count; i++) {
    touch(op->hierarchies[i].name), touch(op->hierarchies[i].controllers), touch(op->hierarchies[i].host_path);
    touch_strings(&op->hierarchies[i].links);
  }
}

static void touch_ops(const struct ops *ops) {
  for (uint32_t i = 0; i < ops->count; i++) touch_op(&ops->items[i]);
}

static void touch_exec(const struct exec_step *step) {
  const char *texts[] = {step->user_spec, step->cwd, step->listener_path, step->listener_state, step->apparmor, step->selinux, step->keyring, step->affinity_initial, step->affinity_final};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) touched += strlen(texts[i]);
  touch_strings(&step->args);
  touch_strings(&step->env);
  touch_strings(&step->group_specs);
  for (uint32_t i = 0; i < step->gid_count; i++) touched += step->gids[i];
  for (uint32_t i = 0; i < step->rlimit_count; i++) touched += step->rlimits[i].soft;
  for (uint32_t i = 0; i < step->seccomp.length; i++) touched += step->seccomp.bytes[i];
  if (!step->args.count) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct plan plan;
  struct exec_plan exec_plan;
  struct arena arena;
  if (!plan_decode(bytes, size, &plan, &arena)) {
    for (uint32_t i = 0; i < plan.namespace_count; i++) touch(plan.namespaces[i].path);
    touch_ops(&plan.host), touch_ops(&plan.parent), touch_ops(&plan.child), touch_ops(&plan.teardown);
    touch_exec(&plan.exec);
    arena_close(&arena);
  }
  if (!exec_plan_decode(bytes, size, &exec_plan, &arena)) {
    touch_strings(&exec_plan.cgroups);
    touch_exec(&exec_plan.exec);
    arena_close(&arena);
  }
  return 0;
}
