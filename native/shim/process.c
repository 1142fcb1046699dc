#define _GNU_SOURCE
#include "executor.h"
#include "identity.h"
#include "root.h"
#include "scheduling.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/limits.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- streams ---- */

static int set_streams(struct context *c) {
  for (int i = 0; i < 3; i++) {
    int from = c->step->terminal ? c->console : c->stdio[i] >= 0 ? c->stdio[i] : c->null_device;
    if (dup2(from, i) < 0) return fail_errno(&c->failure, "stdio", "");
  }
  if (c->step->terminal && ioctl(0, TIOCSCTTY, 0)) return fail_errno(&c->failure, "console", "TIOCSCTTY");
  return 0;
}

/* So that the user can open /dev/stdout and the like again. */
static void own_streams(uid_t uid) {
  for (int i = 0; i < 3; i++) {
    struct stat info;
    if (fstat(i, &info) || info.st_uid == uid || (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3))) continue;
    /* Not every file system and user namespace allows it; runc goes on as well. */
    if (fchown(i, uid, (gid_t)-1)) continue;
  }
}

/* ---- limits ---- */

static int set_limit(struct context *c, const struct rlimit_value *value) {
  struct rlimit64 limit = {value->soft, value->hard}, now;
  if (!prlimit64(0, (int)value->resource, &limit, NULL)) return 0;
  /* Without CAP_SYS_RESOURCE the hard limit that is there is the highest possible. */
  if (errno == EPERM && !prlimit64(0, (int)value->resource, NULL, &now) && limit.rlim_max > now.rlim_max) {
    limit.rlim_max = now.rlim_max;
    if (limit.rlim_cur > now.rlim_max) limit.rlim_cur = now.rlim_max;
    if (!prlimit64(0, (int)value->resource, &limit, NULL)) return 0;
  }
  char number[16];
  snprintf(number, sizeof number, "%u", value->resource);
  return fail_errno(&c->failure, "rlimit", number);
}

static int set_limits(struct context *c) {
  for (uint32_t i = 0; i < c->step->rlimit_count; i++)
    if (set_limit(c, &c->step->rlimits[i])) return -1;
  return 0;
}

/* ---- security ---- */

/* Of <linux/key.h> in the kernel: all for who possesses it; view, read and link for its user, which is what a new session keyring has. */
#define KEYRING_DEFAULT 0x3f130000
#define KEY_USER_SEARCH 0x00080000
#define KEY_OTHER_SEARCH 0x00000008

static int set_keyring(struct context *c) {
  if (!c->step->keyring[0]) return 0;
  long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, c->step->keyring);
  if (ring < 0) return errno == ENOSYS ? 0 : fail_errno(&c->failure, "keyring", c->step->keyring);
  /* Later processes find it by its name. */
  unsigned permissions = KEYRING_DEFAULT | (c->new_user_namespace ? KEY_OTHER_SEARCH : KEY_USER_SEARCH);
  return c->plan && syscall(SYS_keyctl, KEYCTL_SETPERM, ring, permissions) ? fail_errno(&c->failure, "keyring", c->step->keyring) : 0;
}

/* "self", as this proc may be of a pid namespace above ours, where we have another number. */
static int write_label(struct context *c, const char *module, const char *file, const char *label) {
  char path[64];
  snprintf(path, sizeof path, "self/attr/%s", file);
  int fd = openat(c->proc, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail_errno(&c->failure, module, label);
  int error = write(fd, label, strlen(label)) < 0 ? fail_errno(&c->failure, module, label) : 0;
  close(fd);
  return error;
}

static int set_labels(struct context *c) {
  if (c->step->apparmor[0]) {
    char text[256];
    if ((size_t)snprintf(text, sizeof text, "exec %s", c->step->apparmor) >= sizeof text) return fail(&c->failure, ENAMETOOLONG, "apparmor", c->step->apparmor);
    if (write_label(c, "apparmor", "apparmor/exec", text) && write_label(c, "apparmor", "exec", text)) return -1;
  }
  return c->step->selinux[0] ? write_label(c, "selinux", "exec", c->step->selinux) : 0;
}

static int load_seccomp(struct context *c) {
  if (!c->step->has_seccomp) return 0;
  bool listened = c->step->listener_path[0];
  struct sock_fprog program = {.len = (unsigned short)(c->step->seccomp.length / 8), .filter = malloc(c->step->seccomp.length)};
  if (!program.filter) return fail(&c->failure, ENOMEM, "seccomp", "");
  memcpy(program.filter, c->step->seccomp.bytes, c->step->seccomp.length);
  unsigned flags = c->step->seccomp_flags | (listened ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (listener < 0) return fail_errno(&c->failure, "seccomp", "");
  /* Each of our own calls may from now on wait for the listener. */
  return listened ? hand_over_listener(c, listener) : 0;
}

/* A filter with a listener is loaded while there is someone to take the listener. */
static bool loads_late(const struct context *c) { return c->step->no_new_privileges && !c->step->listener_path[0]; }

static int drop_bounding(struct context *c) {
  for (int capability = 0; capability < 64; capability++) {
    int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;
    if (held && !(c->step->bounding >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)) return fail_errno(&c->failure, "capabilities", "bounding");
  }
  return 0;
}

static int set_capabilities(struct context *c) {
  const struct exec_step *s = c->step;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int half = 0; half < 2; half++)
    data[half] = (struct __user_cap_data_struct){(uint32_t)(s->effective >> 32 * half), (uint32_t)(s->permitted >> 32 * half), (uint32_t)(s->inheritable >> 32 * half)};
  if (syscall(SYS_capset, &header, data)) return fail_errno(&c->failure, "capabilities", "permitted");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (unsigned long capability = 0; capability < 64; capability++)
    if (s->ambient >> capability & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)) return fail_errno(&c->failure, "capabilities", "ambient");
  return 0;
}

/* ---- user and directory ---- */

/* Changes into the working directory; one that the user only may enter is tried again as that user. */
static int enter_directory(struct context *c, bool *entered) {
  const char *cwd = c->step->cwd[0] ? c->step->cwd : "/";
  if (*entered) return 0;
  if (!chdir(cwd)) *entered = true;
  else if (errno != EACCES) return fail_errno(&c->failure, "cwd", cwd);
  return 0;
}

/* The kernel marks a directory outside of the root: such a one came from a leaked fd. */
static int check_directory(struct context *c) {
  char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof path) < 0) return fail_errno(&c->failure, "cwd", c->step->cwd);
  return path[0] == '/' ? 0 : fail(&c->failure, ENOENT, "cwd", c->step->cwd);
}

static int make_directory(struct context *c) {
  if (!c->step->create_cwd || !c->step->cwd[0]) return 0;
  int fd = root_make(c->root, c->step->cwd, CREATE_DIR, 0755);
  if (fd < 0) return fail(&c->failure, -fd, "cwd", c->step->cwd);
  close(fd);
  return 0;
}

static int become(struct context *c, const struct identity *identity) {
  bool entered = false;
  if (enter_directory(c, &entered)) return -1;
  if (c->step->has_capabilities && drop_bounding(c)) return -1;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)) return fail_errno(&c->failure, "capabilities", "keep");
  /* A user namespace with setgroups denied has no groups to set. */
  if (setgroups(identity->group_count, identity->groups) && !(errno == EPERM && !identity->group_count)) return fail_errno(&c->failure, "setgroups", "");
  if (setresgid(identity->gid, identity->gid, identity->gid)) return fail_errno(&c->failure, "setgid", "");
  if (setresuid(identity->uid, identity->uid, identity->uid)) return fail_errno(&c->failure, "setuid", "");
  if (enter_directory(c, &entered)) return -1;
  if (!entered) return fail(&c->failure, EACCES, "cwd", c->step->cwd);
  if (check_directory(c)) return -1;
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0)) return fail_errno(&c->failure, "capabilities", "keep");
  return c->step->has_capabilities ? set_capabilities(c) : 0;
}

/* ---- the program ---- */

static const char *get_environment(const struct exec_step *step, const char *name) {
  size_t length = strlen(name);
  const char *value = NULL;
  for (uint32_t i = 0; i < step->env.count; i++)
    if (!strncmp(step->env.items[i], name, length) && step->env.items[i][length] == '=') value = step->env.items[i] + length + 1;
  return value;
}

static int set_environment(struct context *c, const char *home) {
  const struct strings *env = &c->step->env;
  c->environment = malloc((env->count + 2) * sizeof *c->environment);
  const char *given = get_environment(c->step, "HOME");
  char *added = NULL;
  if (!c->environment || ((!given || !*given) && asprintf(&added, "HOME=%s", home) < 0)) return fail(&c->failure, ENOMEM, "environment", "");
  uint32_t count = 0;
  for (uint32_t i = 0; i < env->count; i++)
    if (!added || strcmp(env->items[i], "HOME=")) c->environment[count++] = (char *)env->items[i];
  if (added) c->environment[count++] = added;
  c->environment[count] = NULL;
  return 0;
}

/* 0 when it can be executed, else an errno. */
static int executable(const char *path) {
  struct stat info;
  if (stat(path, &info)) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? errno : 0;
}

/* By the container's own PATH; a name with a slash is a path. */
static int find_program(struct context *c) {
  const char *name = c->step->args.items[0];
  if (strchr(name, '/')) {
    int error = executable(name);
    c->program = (char *)name;
    return error ? fail(&c->failure, error, "exec", name) : 0;
  }
  const char *path = get_environment(c->step, "PATH");
  char candidate[PATH_MAX];
  while (*name && path && *path) {
    size_t length = strcspn(path, ":");
    if ((size_t)snprintf(candidate, sizeof candidate, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name) < sizeof candidate && !executable(candidate)) {
      c->program = strdup(candidate);
      return c->program ? 0 : fail(&c->failure, ENOMEM, "exec", name);
    }
    path += length + (path[length] == ':');
  }
  return fail(&c->failure, ENOENT, "path", name);
}

static int step_failed(struct context *c, uint32_t index) {
  c->failure.index = index;
  return -1;
}

int prepare_exec(struct context *c) {
  const struct exec_step *step = c->step;
  struct identity identity;
  c->failure.section = SECTION_EXEC;
  if (set_keyring(c) || set_streams(c) || set_limits(c) || set_scheduling(&c->failure, step)) return step_failed(c, 0);
  timings_mark(&c->timings, SECTION_EXEC, 0);
  if (resolve_identity(&c->failure, c->root, step, &identity) || make_directory(c)) return step_failed(c, 1);
  timings_mark(&c->timings, SECTION_EXEC, 1);
  if (set_labels(c) || set_environment(c, identity.home)) return step_failed(c, 2);
  own_streams(identity.uid);
  if (step->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return fail_errno(&c->failure, "noNewPrivileges", "");
  /* Without no_new_privs a filter needs CAP_SYS_ADMIN, which may be about to go. */
  if (!step->no_new_privileges && load_seccomp(c)) return step_failed(c, 2);
  timings_mark(&c->timings, SECTION_EXEC, 2);
  if (become(c, &identity) || find_program(c)) return step_failed(c, 3);
  umask(step->umask == MODE_ABSENT ? 0022 : step->umask);
  if (step->no_new_privileges && !loads_late(c) && load_seccomp(c)) return step_failed(c, 3);
  timings_mark(&c->timings, SECTION_EXEC, 3);
  return 0;
}

/* The preserved fds take their places, from 3 on; what is left of ours goes with the exec. */
static int place_preserved(struct context *c) {
  int places = 3 + (int)c->preserved_count;
  if (c->status >= 0 && c->status < places) {
    int higher = fcntl(c->status, F_DUPFD_CLOEXEC, places);
    if (higher < 0) return fail_errno(&c->failure, "preserveFds", "");
    c->status = higher;
  }
  for (uint32_t i = 0; i < c->preserved_count; i++)
    if (dup2(c->preserved[i], 3 + (int)i) < 0) return fail_errno(&c->failure, "preserveFds", "");
  close_range((unsigned)places, ~0u, CLOSE_RANGE_CLOEXEC);
  return 0;
}

/* The hook's number among those of its stage. */
static int hook_failed(struct context *c, unsigned number) {
  char subject[sizeof c->failure.subject];
  snprintf(subject, sizeof subject, "#%u: %.480s", number, c->failure.error == ETIMEDOUT ? "it took too long" : c->failure.subject);
  fail(&c->failure, c->failure.error, "hook", subject);
  return step_failed(c, 4);
}

int run_exec(struct context *c) {
  c->failure.section = SECTION_EXEC;
  if (loads_late(c) && load_seccomp(c)) return step_failed(c, 4);
  unsigned hooks = 0;
  for (uint32_t i = 0; c->plan && i < c->plan->child.count; i++) {
    const struct op *op = &c->plan->child.items[i];
    if (op->code != OP_HOOK || strcmp(op->stage, "startContainer")) continue;
    if (run_hook_in(&c->failure, op, -1, c->environment)) return hook_failed(c, hooks);
    hooks++;
  }
  if (place_preserved(c)) return step_failed(c, 4);
  execve(c->program, (char *const *)c->step->args.items, c->environment);
  int error = errno;
  c->failure.index = 5;
  return fail(&c->failure, error, "exec", c->program);
}
