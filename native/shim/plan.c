#define _GNU_SOURCE
#include "decoder.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

uint64_t namespace_flag(uint8_t type) {
  static const uint64_t flags[NS_TYPES] = {
      [NS_PID] = CLONE_NEWPID,   [NS_NETWORK] = CLONE_NEWNET, [NS_MOUNT] = CLONE_NEWNS,      [NS_IPC] = CLONE_NEWIPC,
      [NS_UTS] = CLONE_NEWUTS,   [NS_USER] = CLONE_NEWUSER,   [NS_CGROUP] = CLONE_NEWCGROUP, [NS_TIME] = CLONE_NEWTIME,
  };
  return type < NS_TYPES ? flags[type] : 0;
}

void *decode_list(struct decoder *d, uint32_t *count, size_t item, size_t least) {
  *count = read_u32(&d->reader);
  size_t left = (size_t)(d->reader.end - d->reader.at);
  if (d->reader.bad || *count > left / least) goto bad;
  void *items = arena_take(d->arena, item * ((size_t)*count + 1));
  if (items) return items;
bad:
  d->reader.bad = true;
  *count = 0;
  return NULL;
}

struct strings decode_strings(struct decoder *d) {
  struct strings strings;
  strings.items = decode_list(d, &strings.count, sizeof *strings.items, 5);
  for (uint32_t i = 0; i < strings.count; i++) strings.items[i] = read_string(&d->reader);
  return strings;
}

static void decode_options(struct decoder *d, struct op *op) {
  op->options = decode_list(d, &op->option_count, sizeof *op->options, 6);
  for (uint32_t i = 0; i < op->option_count; i++) {
    op->options[i].key = read_string(&d->reader);
    op->options[i].value = read_bool(&d->reader) ? read_string(&d->reader) : NULL;
  }
}

static uint8_t read_choice(struct decoder *d, uint8_t lowest, uint8_t highest) {
  uint8_t value = read_u8(&d->reader);
  if (value < lowest || value > highest) d->reader.bad = true;
  return value;
}

static void decode_propagation(struct decoder *d, struct propagation *propagation) {
  propagation->type = read_choice(d, PROPAGATION_PRIVATE, PROPAGATION_UNBINDABLE);
  propagation->recursive = read_bool(&d->reader);
}

static void decode_propagations(struct decoder *d, struct op *op) {
  op->propagations = decode_list(d, &op->propagation_count, sizeof *op->propagations, 2);
  for (uint32_t i = 0; i < op->propagation_count; i++) decode_propagation(d, &op->propagations[i]);
}

static void decode_one_propagation(struct decoder *d, struct op *op) {
  op->propagations = arena_take(d->arena, sizeof *op->propagations);
  if (!op->propagations) {
    d->reader.bad = true;
    return;
  }
  op->propagation_count = 1;
  decode_propagation(d, op->propagations);
}

static void decode_attributes(struct decoder *d, struct op *op) {
  op->attributes.set = read_u64(&d->reader);
  op->attributes.clear = read_u64(&d->reader);
  op->attributes.recursive_set = read_u64(&d->reader);
  op->attributes.recursive_clear = read_u64(&d->reader);
}

static void decode_hierarchies(struct decoder *d, struct op *op) {
  op->hierarchies = decode_list(d, &op->hierarchy_count, sizeof *op->hierarchies, 19);
  for (uint32_t i = 0; i < op->hierarchy_count; i++) {
    struct hierarchy *hierarchy = &op->hierarchies[i];
    hierarchy->name = read_string(&d->reader);
    hierarchy->controllers = read_string(&d->reader);
    hierarchy->links = decode_strings(d);
    hierarchy->host_path = read_string(&d->reader);
  }
}

static void decode_mount(struct decoder *d, struct op *op) {
  op->fstype = read_string(&d->reader);
  op->source = read_string(&d->reader);
  op->target = read_string(&d->reader);
  decode_options(d, op);
  decode_attributes(d, op);
  decode_propagations(d, op);
  op->create = read_choice(d, CREATE_NONE, CREATE_LIKE_SOURCE);
  op->mode = read_u32(&d->reader);
  op->copy_up = read_bool(&d->reader);
  op->inherit_mode = read_bool(&d->reader);
  op->no_links = read_bool(&d->reader);
}

static void decode_bind(struct decoder *d, struct op *op) {
  op->source = read_string(&d->reader);
  op->target = read_string(&d->reader);
  op->recursive = read_bool(&d->reader);
  decode_attributes(d, op);
  decode_propagations(d, op);
  op->create = read_choice(d, CREATE_NONE, CREATE_LIKE_SOURCE);
  op->uid_map = read_string(&d->reader);
  op->gid_map = read_string(&d->reader);
  op->idmap_recursive = read_bool(&d->reader);
  op->keep_locked = read_bool(&d->reader);
  op->after_mounts = read_bool(&d->reader);
}

static void decode_mknod(struct decoder *d, struct op *op) {
  op->target = read_string(&d->reader);
  op->node_type = (char)read_u8(&d->reader);
  if (op->node_type != 'c' && op->node_type != 'b' && op->node_type != 'p') d->reader.bad = true;
  op->major = read_u32(&d->reader);
  op->minor = read_u32(&d->reader);
  op->mode = read_u32(&d->reader);
  op->uid = read_u32(&d->reader);
  op->gid = read_u32(&d->reader);
  op->bind_fallback = read_bool(&d->reader);
}

static void decode_hook(struct decoder *d, struct op *op) {
  op->path = read_string(&d->reader);
  op->list = decode_strings(d);
  op->env = decode_strings(d);
  op->timeout = read_u32(&d->reader);
  op->stage = read_string(&d->reader);
  op->data = read_string(&d->reader);
  op->inherit_env = read_bool(&d->reader);
}

static void decode_op(struct decoder *d, struct op *op) {
  struct reader *r = &d->reader;
  switch (op->code) {
  case OP_CGROUP_MKDIR:
    op->path = read_string(r);
    op->copy_cpuset = read_bool(r);
    break;
  case OP_WRITE_FILE:
    op->path = read_string(r);
    op->data = read_string(r);
    op->list = decode_strings(d);
    break;
  case OP_CGROUP_DEVICE_PROGRAM:
    op->path = read_string(r);
    op->program = read_blob(r);
    break;
  case OP_ID_MAPS:
    op->uid_map = read_string(r);
    op->gid_map = read_string(r);
    op->setgroups = read_string(r);
    break;
  case OP_OOM_SCORE_ADJ:
    op->score = (int32_t)read_u32(r);
    break;
  case OP_JOIN_CGROUPS:
    op->list = decode_strings(d);
    break;
  case OP_ROOT_PROPAGATION:
  case OP_ROOTFS_PROPAGATION:
    decode_one_propagation(d, op);
    break;
  case OP_ROOT_OVERLAY:
    op->list = decode_strings(d);
    op->upper = read_string(r);
    op->work = read_string(r);
    decode_options(d, op);
    op->source = read_string(r);
    op->uid_map = read_string(r);
    op->gid_map = read_string(r);
    op->uid = read_u32(r);
    op->gid = read_u32(r);
    break;
  case OP_ROOT_BIND:
    op->source = read_string(r);
    op->uid_map = read_string(r);
    op->gid_map = read_string(r);
    break;
  case OP_MOUNT:
    decode_mount(d, op);
    break;
  case OP_BIND:
    decode_bind(d, op);
    break;
  case OP_SET_ATTRIBUTES:
    op->target = read_string(r);
    decode_attributes(d, op);
    break;
  case OP_CGROUP_MOUNT:
    op->target = read_string(r);
    decode_hierarchies(d, op);
    op->unified = read_bool(r);
    op->readonly = read_bool(r);
    decode_attributes(d, op);
    break;
  case OP_MKDIR:
    op->target = read_string(r);
    op->mode = read_u32(r);
    break;
  case OP_MKNOD:
    decode_mknod(d, op);
    break;
  case OP_SYMLINK:
    op->target = read_string(r);
    op->to = read_string(r);
    break;
  case OP_CONSOLE:
    op->width = read_u32(r);
    op->height = read_u32(r);
    break;
  case OP_PIVOT_ROOT:
    op->pivot = read_choice(d, PIVOT_ROOT, PIVOT_CHROOT);
    break;
  case OP_READONLY_ROOT:
    break;
  case OP_MASK_PATH:
  case OP_READONLY_PATH:
    op->target = read_string(r);
    break;
  case OP_HOSTNAME:
  case OP_DOMAINNAME:
    op->name = read_string(r);
    break;
  case OP_SYSCTL:
    op->name = read_string(r);
    op->data = read_string(r);
    break;
  case OP_TIME_OFFSETS:
    op->data = read_string(r);
    break;
  case OP_HOOK:
    decode_hook(d, op);
    break;
  case OP_CGROUP_REMOVE:
    op->path = read_string(r);
    break;
  case OP_ADOPT:
    op->path = read_string(r);
    op->target = read_string(r);
    op->source = read_string(r);
    op->width = read_u32(r);
    op->height = read_u32(r);
    op->list = decode_strings(d);
    break;
  default:
    r->bad = true;
  }
}

/* Which codes belong to which list of ops. */
static bool code_fits(enum section section, uint8_t code) {
  switch (section) {
  case SECTION_HOST:
    return code >= OP_CGROUP_MKDIR && code <= OP_CGROUP_DEVICE_PROGRAM;
  case SECTION_PARENT:
    return code == OP_ID_MAPS || code == OP_OOM_SCORE_ADJ || code == OP_ADOPT;
  case SECTION_CHILD:
    return code >= OP_JOIN_CGROUPS && code <= OP_HOOK;
  default:
    return code == OP_CGROUP_REMOVE || code == OP_HOOK;
  }
}

/* Decodes the part that comes next by `decode`, which must use all of it. */
static void decode_part(struct decoder *d, void (*decode)(struct decoder *, void *), void *into) {
  struct decoder part = {read_part(&d->reader), d->arena};
  decode(&part, into);
  if (!reader_done(&part.reader)) d->reader.bad = true;
}

static void decode_op_fields(struct decoder *d, void *into) { decode_op(d, into); }

static void decode_ops(struct decoder *d, enum section section, struct ops *ops) {
  ops->items = decode_list(d, &ops->count, sizeof *ops->items, 5);
  for (uint32_t i = 0; i < ops->count; i++) {
    struct op *op = &ops->items[i];
    op->code = read_u8(&d->reader);
    op->source_fd = -1;
    if (!code_fits(section, op->code)) d->reader.bad = true;
    decode_part(d, decode_op_fields, op);
  }
}

static void decode_host(struct decoder *d, void *into) { decode_ops(d, SECTION_HOST, into); }
static void decode_parent(struct decoder *d, void *into) { decode_ops(d, SECTION_PARENT, into); }
static void decode_child(struct decoder *d, void *into) { decode_ops(d, SECTION_CHILD, into); }
static void decode_teardown(struct decoder *d, void *into) { decode_ops(d, SECTION_TEARDOWN, into); }

static void decode_namespaces(struct decoder *d, void *into) {
  struct plan *plan = into;
  uint32_t seen = 0;
  plan->namespaces = decode_list(d, &plan->namespace_count, sizeof *plan->namespaces, 2);
  for (uint32_t i = 0; i < plan->namespace_count; i++) {
    struct plan_namespace *namespace = &plan->namespaces[i];
    namespace->type = read_choice(d, 0, NS_TYPES - 1);
    namespace->kind = read_choice(d, NS_NEW, NS_JOIN_FD);
    if (namespace->kind == NS_JOIN) namespace->path = read_string(&d->reader);
    if (namespace->kind == NS_JOIN_FD) namespace->index = read_u32(&d->reader);
    if (d->reader.bad) return;
    if (seen & 1u << namespace->type) d->reader.bad = true;
    seen |= 1u << namespace->type;
  }
}

/* Checks magic and version, and opens an arena that is enough for anything that the bytes can say: the largest item that the
 * fewest bytes make is an op (5 bytes). */
static int decode_header(struct decoder *d, const void *bytes, size_t length, const char *magic, struct arena *arena) {
  if (length < 8 || length > PLAN_MAX_BYTES || memcmp(bytes, magic, 4)) return -EPROTO;
  *d = (struct decoder){reader_of((const uint8_t *)bytes + 4, length - 4), arena};
  if (read_u32(&d->reader) != PLAN_VERSION) return -EPROTONOSUPPORT;
  return arena_open(arena, (length / 5 + 64) * (sizeof(struct op) + 64));
}

static int decode_end(struct decoder *d) {
  if (reader_done(&d->reader)) return 0;
  arena_close(d->arena);
  return -EPROTO;
}

int plan_decode(const void *bytes, size_t length, struct plan *plan, struct arena *arena) {
  struct decoder decoder;
  *plan = (struct plan){0};
  int error = decode_header(&decoder, bytes, length, "GPLN", arena);
  if (error) return error;
  decode_part(&decoder, decode_namespaces, plan);
  decode_part(&decoder, decode_host, &plan->host);
  decode_part(&decoder, decode_parent, &plan->parent);
  decode_part(&decoder, decode_child, &plan->child);
  decode_part(&decoder, decode_exec, &plan->exec);
  decode_part(&decoder, decode_teardown, &plan->teardown);
  return decode_end(&decoder);
}

int exec_plan_decode(const void *bytes, size_t length, struct exec_plan *plan, struct arena *arena) {
  struct decoder decoder;
  *plan = (struct exec_plan){0};
  int error = decode_header(&decoder, bytes, length, "GEXE", arena);
  if (error) return error;
  plan->namespaces = read_u32(&decoder.reader);
  if (plan->namespaces >= 1u << NS_TYPES) decoder.reader.bad = true;
  plan->cgroups = decode_strings(&decoder);
  decode_part(&decoder, decode_exec, &plan->exec);
  return decode_end(&decoder);
}
