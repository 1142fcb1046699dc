/* A container's root file system with its volumes and binds, as file descriptors: assembled in a mount namespace that no process
 * is in. Of a container that runs, the root is a clone of its own mount, so that its upper folder is never mounted twice. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum view_flags { VIEW_RECURSIVE = 1, VIEW_READ_ONLY = 2 };

struct view_mount {
  char *source, *destination;
  uint32_t flags;
  int tree;
};

struct view_call {
  struct archive_job job;
  int root;    /* a mount that is attached nowhere, or a folder; -1 with a process */
  int process; /* /proc/PID of the container's init, or -1 */
  bool folder; /* root is a folder of this machine */
  struct view_mount *mounts;
  size_t count;
  struct id_maps ids;
  int opened[2]; /* the root, and the namespace that holds what is mounted on it */
};

static void release(napi_env env, struct archive_job *job) {
  (void)env;
  struct view_call *call = (struct view_call *)job;
  if (call->root >= 0) close(call->root);
  if (call->process >= 0) close(call->process);
  for (size_t i = 0; i < call->count; i++) {
    free(call->mounts[i].source);
    free(call->mounts[i].destination);
    if (call->mounts[i].tree >= 0) close(call->mounts[i].tree);
  }
  free(call->mounts);
  free(call->ids.ranges);
  for (int i = 0; i < 2; i++)
    if (call->opened[i] >= 0) close(call->opened[i]);
}

static int clone_tree(int dir, const char *path, unsigned flags) { return (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags); }

static bool same_file(int a, int b) {
  struct stat one, other;
  return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* The mount that a process has as its root, without what is mounted on it. This thread enters its mount namespace for a moment. */
static int clone_root_of(int process) {
  int own = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC), theirs = openat(process, "ns/mnt", O_RDONLY | O_CLOEXEC), tree = -1;
  if (own >= 0 && theirs >= 0) {
    if (same_file(own, theirs)) errno = ESRCH;
    else if (!setns(theirs, CLONE_NEWNS)) {
      tree = clone_tree(AT_FDCWD, "/", 0);
      int saved = errno;
      if (setns(own, CLONE_NEWNS)) {
        if (tree >= 0) close(tree);
        tree = -1;
      } else errno = saved;
    }
  }
  int saved = errno;
  if (own >= 0) close(own);
  if (theirs >= 0) close(theirs);
  errno = saved;
  return tree;
}

int open_mount_point(int root, const char *destination, int tree) {
  char path[4096], above[4096];
  struct stat st;
  if (extract_clean(destination, path, 1024) || fstat(tree, &st)) return -1;
  int fd = open_in_root(root, path, O_PATH);
  if (fd >= 0 || errno != ENOENT) return fd;
  struct extractor maker;
  extract_init(&maker, root, 0);
  char *slash = strrchr(path, '/');
  memcpy(above, path, sizeof above);
  above[slash ? slash - path : 0] = 0;
  int parent = extract_parent(&maker, S_ISDIR(st.st_mode) ? path : above);
  if (parent >= 0 && !S_ISDIR(st.st_mode)) {
    int file = openat(parent, slash ? slash + 1 : path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    if (file >= 0) close(file);
  }
  int saved = errno;
  extract_free(&maker);
  errno = saved;
  return open_in_root(root, path, O_PATH);
}

static int attach(int root, struct view_mount *mount) {
  struct mount_attr attributes = {.attr_set = mount->flags & VIEW_READ_ONLY ? MOUNT_ATTR_RDONLY : 0, .propagation = MS_PRIVATE};
  if (syscall(SYS_mount_setattr, mount->tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes)) return -1;
  int destination = open_mount_point(root, mount->destination, mount->tree);
  if (destination < 0) return -1;
  int result = (int)syscall(SYS_move_mount, mount->tree, "", destination, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  int saved = errno;
  close(destination);
  errno = saved;
  return result;
}

/* Makes the tree the root of this thread's new namespace. Where the machine's root cannot be swapped (initramfs) the rest stays below it. */
static int become_root(int tree) {
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) return -1;
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)) return -1;
  int namespace = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || fchdir(tree)) return -1;
  if (!syscall(SYS_pivot_root, ".", ".")) umount2(".", MNT_DETACH);
  return namespace;
}

static int run_view(struct archive_job *job) {
  struct view_call *call = (struct view_call *)job;
  if (unshare(CLONE_FS)) return archive_fail(&job->error, errno, "", "cannot unshare");
  for (size_t i = 0; i < call->count; i++) {
    struct view_mount *mount = &call->mounts[i];
    mount->tree = clone_tree(AT_FDCWD, mount->source, mount->flags & VIEW_RECURSIVE ? AT_RECURSIVE : 0);
    if (mount->tree < 0) return archive_fail(&job->error, errno, mount->source, "cannot open what is mounted");
  }
  int tree = call->process >= 0 ? clone_root_of(call->process) : call->folder ? clone_tree(call->root, "", AT_EMPTY_PATH) : fcntl(call->root, F_DUPFD_CLOEXEC, 3);
  call->opened[0] = tree;
  if (tree < 0) return archive_fail(&job->error, errno, "", "cannot open the root file system");
  if (!call->count) return 0;
  if ((call->opened[1] = become_root(tree)) < 0) return archive_fail(&job->error, errno, "", "cannot make a mount namespace");
  for (size_t i = 0; i < call->count; i++)
    if (attach(tree, &call->mounts[i])) return archive_fail(&job->error, errno, call->mounts[i].destination, "cannot mount");
  return 0;
}

static napi_value view_value(napi_env env, struct archive_job *job) {
  struct view_call *call = (struct view_call *)job;
  napi_value pair;
  napi_create_array_with_length(env, 2, &pair);
  for (uint32_t i = 0; i < 2; i++) {
    napi_value fd;
    napi_create_int32(env, call->opened[i], &fd);
    napi_set_element(env, pair, i, fd);
    call->opened[i] = -1;
  }
  return pair;
}

static char *text_at(napi_env env, napi_value array, uint32_t index) {
  napi_value item;
  size_t size = 0;
  if (napi_get_element(env, array, index, &item) != napi_ok || napi_get_value_string_utf8(env, item, NULL, 0, &size) != napi_ok) return NULL;
  char *text = malloc(size + 1);
  if (text) napi_get_value_string_utf8(env, item, text, size + 1, &size);
  return text;
}

static int number(napi_env env, napi_value value) {
  int32_t result;
  return napi_get_value_int32(env, value, &result) == napi_ok ? result : -1;
}

static int duplicate(int fd) { return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3); }

/* viewOpen(rootFd, isFolder, processFd, sources, destinations, flags, ids): a promise of [rootFd, namespaceFd or -1]. */
static napi_value open_view(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value arguments[7];
  uint32_t length = 0;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_array_length(env, arguments[3], &length);
  struct view_call *call = calloc(1, sizeof *call);
  struct view_mount *mounts = calloc(length + 1, sizeof *mounts);
  if (!call || !mounts) {
    free(call);
    free(mounts);
    return addon_throw_errno(env, ENOMEM, "viewOpen");
  }
  *call = (struct view_call){.job = {.run = run_view, .value = view_value, .release = release}, .mounts = mounts, .count = length, .opened = {-1, -1}};
  call->ids = archive_ids_of(env, arguments[6]);
  call->job.ids = &call->ids;
  napi_get_value_bool(env, arguments[1], &call->folder);
  call->root = duplicate(number(env, arguments[0]));
  call->process = duplicate(number(env, arguments[2]));
  bool valid = call->root >= 0 || call->process >= 0;
  for (uint32_t i = 0; i < length; i++) {
    napi_value flags;
    mounts[i] = (struct view_mount){.source = text_at(env, arguments[3], i), .destination = text_at(env, arguments[4], i), .tree = -1};
    napi_get_element(env, arguments[5], i, &flags);
    mounts[i].flags = (uint32_t)number(env, flags);
    if (!mounts[i].source || !mounts[i].destination) valid = false;
  }
  if (valid) return archive_job_start(env, &call->job);
  release(env, &call->job);
  free(call);
  napi_throw_type_error(env, "EINVAL", "viewOpen takes a root or a process, and mounts");
  return NULL;
}

/* readLinkAt(fd): what the symbolic link says that an O_PATH fd is of. */
static napi_value read_link(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, value;
  char target[4096];
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  ssize_t size = readlinkat(number(env, argument), "", target, sizeof target);
  if (size < 0) return addon_throw_errno(env, errno, "readlinkat");
  napi_create_string_utf8(env, target, (size_t)size, &value);
  return value;
}

/* pipe(): [readable, writable]; both block. */
static napi_value make_pipe(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  napi_value pair;
  if (pipe2(fds, O_CLOEXEC)) return addon_throw_errno(env, errno, "pipe2");
  fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
  napi_create_array_with_length(env, 2, &pair);
  for (uint32_t i = 0; i < 2; i++) {
    napi_value fd;
    napi_create_int32(env, fds[i], &fd);
    napi_set_element(env, pair, i, fd);
  }
  return pair;
}

int register_archive_view(napi_env env, napi_value exports) {
  return addon_function(env, exports, "viewOpen", open_view) || addon_function(env, exports, "readLinkAt", read_link) || addon_function(env, exports, "pipe", make_pipe);
}
