/* A plan, decoded. What the ops mean is said in src/oci/plan/types.ts; src/oci/plan/encode.ts writes the bytes.
 *
 *   "GPLN" u32 version, then parts, each with its u32 length:
 *     namespaces   list of u8 type, u8 kind, (join: string path | joinFd: u32 index)
 *     host, parent, child, teardown   list of u8 code, part with the op's fields
 *     exec         the exec step
 *   "GEXE" u32 version, then: u32 namespace mask (1 << type), list of cgroup paths, part with the exec step */
#ifndef GANTRY_PLAN_H
#define GANTRY_PLAN_H

#include "wire.h"

#define PLAN_VERSION 2
#define PLAN_MAX_BYTES (16u << 20)
#define MEMORY_NODES_MAX 1024

enum namespace_type { NS_PID, NS_NETWORK, NS_MOUNT, NS_IPC, NS_UTS, NS_USER, NS_CGROUP, NS_TIME, NS_TYPES };
enum namespace_kind { NS_NEW = 1, NS_JOIN, NS_JOIN_FD };

/* The section that an error record names. */
enum section { SECTION_CLONE, SECTION_NAMESPACES, SECTION_HOST, SECTION_PARENT, SECTION_CHILD, SECTION_EXEC, SECTION_TEARDOWN };

enum op_code {
  OP_CGROUP_MKDIR = 1,
  OP_WRITE_FILE,
  OP_CGROUP_DEVICE_PROGRAM,
  OP_ID_MAPS,
  OP_OOM_SCORE_ADJ,
  OP_JOIN_CGROUPS,
  OP_ROOT_PROPAGATION,
  OP_ROOT_OVERLAY,
  OP_ROOT_BIND,
  OP_MOUNT,
  OP_BIND,
  OP_SET_ATTRIBUTES,
  OP_CGROUP_MOUNT,
  OP_MKDIR,
  OP_MKNOD,
  OP_SYMLINK,
  OP_CONSOLE,
  OP_PIVOT_ROOT,
  OP_READONLY_ROOT,
  OP_ROOTFS_PROPAGATION,
  OP_MASK_PATH,
  OP_READONLY_PATH,
  OP_HOSTNAME,
  OP_DOMAINNAME,
  OP_SYSCTL,
  OP_TIME_OFFSETS,
  OP_HOOK,
  OP_CGROUP_REMOVE,
  OP_ADOPT,
  OP_CODES,
};

enum create { CREATE_NONE, CREATE_FILE, CREATE_DIR, CREATE_LIKE_SOURCE };
enum propagation_type { PROPAGATION_PRIVATE = 1, PROPAGATION_SLAVE, PROPAGATION_SHARED, PROPAGATION_UNBINDABLE };
enum pivot { PIVOT_ROOT, PIVOT_MOVE, PIVOT_CHROOT };

#define MODE_ABSENT 0xffffffffu

struct strings {
  uint32_t count;
  /* Ends with a NULL. */
  const char **items;
};

struct option {
  const char *key;
  /* NULL: a flag. */
  const char *value;
};

struct propagation {
  uint8_t type;
  bool recursive;
};

struct attributes {
  uint64_t set, clear, recursive_set, recursive_clear;
};

struct hierarchy {
  const char *name, *controllers, *host_path;
  struct strings links;
};

/* One op of any kind: fields that its code does not have are zero. */
struct op {
  uint8_t code;
  uint8_t create;
  uint8_t pivot;
  char node_type;
  bool recursive, readonly, unified, copy_cpuset, bind_fallback, copy_up, inherit_mode, no_links, idmap_recursive, keep_locked, after_mounts, inherit_env;
  uint32_t mode, uid, gid, major, minor, width, height, timeout;
  int32_t score;
  const char *path, *target, *source, *data, *fstype, *upper, *work, *to, *name, *uid_map, *gid_map, *setgroups, *stage;
  struct strings list, env;
  struct blob program;
  struct attributes attributes;
  uint32_t option_count, propagation_count, hierarchy_count;
  struct option *options;
  struct propagation *propagations;
  struct hierarchy *hierarchies;
  /* Set while executing: what a bind or the root was opened as, or -1. */
  int source_fd;
};

struct ops {
  uint32_t count;
  struct op *items;
};

struct plan_namespace {
  uint8_t type, kind;
  uint32_t index;
  const char *path;
};

struct rlimit_value {
  uint32_t resource;
  uint64_t soft, hard;
};

struct exec_step {
  bool terminal, create_cwd, no_new_privileges, has_capabilities, has_oom_score, has_seccomp, has_scheduler, has_personality, has_io_priority, has_memory_policy;
  uint32_t uid, gid, umask;
  uint32_t gid_count;
  uint32_t *gids;
  /* "" when absent. */
  const char *user_spec;
  struct strings group_specs;
  const char *cwd;
  struct strings args, env;
  uint64_t bounding, effective, permitted, inheritable, ambient;
  uint32_t rlimit_count;
  struct rlimit_value *rlimits;
  int32_t oom_score;
  struct blob seccomp;
  uint32_t seccomp_flags;
  /* "" when absent, like the following. The state is the JSON that the listener gets, with each "pid":0 to become the process's. */
  const char *listener_path, *listener_state, *apparmor, *selinux, *keyring, *affinity_initial, *affinity_final;
  uint32_t io_priority, personality, memory_policy;
  /* A bit mask of nodes, in the byte order of this machine. */
  struct blob memory_nodes;
  struct {
    uint32_t policy, priority;
    int32_t nice;
    uint64_t flags, runtime, deadline, period;
  } scheduler;
};

struct plan {
  uint32_t namespace_count;
  struct plan_namespace *namespaces;
  struct ops host, parent, child, teardown;
  struct exec_step exec;
};

struct exec_plan {
  uint32_t namespaces;
  struct strings cgroups;
  struct exec_step exec;
};

/* Decodes `length` bytes; strings stay in `bytes`, the rest is in `arena`, which this opens. 0, -EPROTO, -EPROTONOSUPPORT
 * (another version), -ENOMEM. On failure the arena is closed. */
int plan_decode(const void *bytes, size_t length, struct plan *plan, struct arena *arena);
int exec_plan_decode(const void *bytes, size_t length, struct exec_plan *plan, struct arena *arena);

/* The CLONE_NEW* flag of a namespace type. */
uint64_t namespace_flag(uint8_t type);

#endif
