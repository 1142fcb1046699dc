/* userNamespace(uidMap, gidMap): the descriptor of a user namespace. mappedOpen(userns, path): a mount of what is at the path that is
 * attached nowhere and shows it with the ids of that namespace. */
#define _GNU_SOURCE
#include "userns.h"
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK (16 << 10)

/* A namespace exists while a process or a descriptor is in it. This one shares our memory, so that nothing is copied; it has all
 * signals blocked and never returns. */
static int wait_for_end(void *nothing) {
  (void)nothing;
  for (;;) pause();
  return 0;
}

static int write_map(pid_t pid, const char *name, const char *text) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  int saved = errno;
  close(fd);
  errno = saved;
  return written < 0 ? -1 : 0;
}

static int open_namespace(pid_t pid, const char *type) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, type);
  return open(path, O_RDONLY | O_CLOEXEC);
}

static pid_t start(char *stack, int (*run)(void *), int flags, void *data) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t pid = clone(run, stack + STACK, CLONE_VM | flags, data);
  int saved = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = saved;
  return pid;
}

int userns_make(const char *uid_map, const char *gid_map, int network) {
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  pid_t pid = start(stack, wait_for_end, CLONE_NEWUSER | (network ? CLONE_NEWNET : 0), NULL);
  int fd = -1;
  if (pid > 0 && !write_map(pid, "gid_map", gid_map) && !write_map(pid, "uid_map", uid_map)) fd = open_namespace(pid, network ? "net" : "user");
  int saved = errno;
  if (pid > 0) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR);
  }
  munmap(stack, STACK);
  errno = saved;
  return fd;
}

struct network_of {
  int userns, fd, error;
};

static int make_network(void *data) {
  struct network_of *made = data;
  if (!setns(made->userns, CLONE_NEWUSER) && !unshare(CLONE_NEWNET)) made->fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  made->error = errno;
  return 0;
}

/* By a child that has our descriptors and memory, while this thread waits: only a process of one thread can join a user namespace. */
int userns_network(int userns) {
  struct network_of made = {userns, -1, 0};
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  pid_t pid = start(stack, make_network, CLONE_VFORK | CLONE_FILES, &made);
  int saved = pid < 0 ? errno : made.error;
  while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR);
  munmap(stack, STACK);
  errno = saved;
  return made.fd;
}

int userns_mapped(int userns, const char *path) {
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return -1;
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
  if (!syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr)) return tree;
  int saved = errno;
  close(tree);
  errno = saved;
  return -1;
}

static int get_text(napi_env env, napi_value value, char *into, size_t room) {
  size_t size;
  return napi_get_value_string_utf8(env, value, into, room, &size) != napi_ok || strlen(into) != size || size == room - 1;
}

static napi_value user_namespace(napi_env env, napi_callback_info info) {
  /* As much as the kernel takes. */
  char maps[2][4097];
  size_t count = 2;
  napi_value arguments[2], value;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  for (size_t i = 0; i < 2; i++)
    if (get_text(env, arguments[i], maps[i], sizeof maps[i])) return napi_throw_type_error(env, "EINVAL", "expected id maps of less than a page"), NULL;
  int fd = userns_make(maps[0], maps[1], 0);
  if (fd < 0) return addon_throw_errno(env, errno, "clone");
  napi_create_int32(env, fd, &value);
  return value;
}

static napi_value mapped_open(napi_env env, napi_callback_info info) {
  char path[4096];
  size_t count = 2;
  int32_t userns;
  napi_value arguments[2], value;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (napi_get_value_int32(env, arguments[0], &userns) != napi_ok || get_text(env, arguments[1], path, sizeof path))
    return napi_throw_type_error(env, "EINVAL", "expected a descriptor and a path"), NULL;
  int fd = userns_mapped(userns, path);
  if (fd < 0) return addon_throw_errno(env, errno, "mount_setattr");
  napi_create_int32(env, fd, &value);
  return value;
}

int register_userns(napi_env env, napi_value exports) { return addon_function(env, exports, "userNamespace", user_namespace) || addon_function(env, exports, "mappedOpen", mapped_open); }
