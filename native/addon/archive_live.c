/* Mounts that come into and go from the mount namespace of a container that runs. The thread that enters it ends with its work. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum live_flags { LIVE_RECURSIVE = 1, LIVE_READ_ONLY = 2 };

struct live_call {
  struct archive_job job;
  int process; /* /proc/PID of the container's init */
  uint32_t flags;
  struct id_maps ids;
  int64_t mount_id;
  char source[4096], destination[4096];
};

static void release(napi_env env, struct archive_job *job) {
  (void)env;
  struct live_call *call = (struct live_call *)job;
  if (call->process >= 0) close(call->process);
  free(call->ids.ranges);
}

/* The root of the namespace, as the container has it. */
static int enter(struct live_call *call) {
  int own = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC), theirs = openat(call->process, "ns/mnt", O_RDONLY | O_CLOEXEC), root = -1;
  struct stat one, other;
  if (own >= 0 && theirs >= 0 && !fstat(own, &one) && !fstat(theirs, &other)) {
    if (one.st_dev == other.st_dev && one.st_ino == other.st_ino) errno = ESRCH;
    else if (!setns(theirs, CLONE_NEWNS)) root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  }
  int saved = errno;
  if (own >= 0) close(own);
  if (theirs >= 0) close(theirs);
  errno = saved;
  return root;
}

static int run_mount(struct archive_job *job) {
  struct live_call *call = (struct live_call *)job;
  if (unshare(CLONE_FS)) return archive_fail(&job->error, errno, "", "cannot unshare");
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, call->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (call->flags & LIVE_RECURSIVE ? AT_RECURSIVE : 0));
  if (tree < 0) return archive_fail(&job->error, errno, call->source, "cannot open the source");
  int root = -1, destination = -1, result = -1;
  struct mount_attr attributes = {.attr_set = call->flags & LIVE_READ_ONLY ? MOUNT_ATTR_RDONLY : 0, .propagation = MS_PRIVATE};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes)) archive_fail(&job->error, errno, call->source, "cannot prepare the mount");
  else if ((root = enter(call)) < 0) archive_fail(&job->error, errno, "", "cannot enter the container's mount namespace");
  else if ((destination = open_mount_point(root, call->destination, tree)) < 0) archive_fail(&job->error, errno, call->destination, "cannot make the mount point");
  else if (syscall(SYS_move_mount, tree, "", destination, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)) archive_fail(&job->error, errno, call->destination, "cannot mount");
  else result = 0;
  if (destination >= 0) close(destination);
  if (root >= 0) close(root);
  close(tree);
  return result;
}

/* Opens the folder that the destination is in; the text has its name. */
static int open_parent(struct live_call *call, int root, char *path, const char **name) {
  char above[4096];
  if (extract_clean(call->destination, path, 1024)) return -1;
  char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  return open_in_root(root, above, O_PATH | O_DIRECTORY);
}

/* A name that something is mounted on stays what it is for as long as that is mounted: nothing comes between the look and the act. */
static int detach(struct live_call *call, int root) {
  char path[4096];
  const char *name;
  struct statx info;
  int parent = open_parent(call, root, path, &name);
  if (parent < 0) return -1;
  int result = statx(parent, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &info);
  if (!result && (!(info.stx_attributes & STATX_ATTR_MOUNT_ROOT) || (int64_t)info.stx_mnt_id != call->mount_id)) {
    errno = EINVAL;
    result = -1;
  }
  if (!result) result = fchdir(parent) || umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) ? -1 : 0;
  int saved = errno;
  close(parent);
  errno = saved;
  return result;
}

static int run_unmount(struct archive_job *job) {
  struct live_call *call = (struct live_call *)job;
  if (unshare(CLONE_FS)) return archive_fail(&job->error, errno, "", "cannot unshare");
  int root = enter(call);
  if (root < 0) return archive_fail(&job->error, errno, "", "cannot enter the container's mount namespace");
  int result = detach(call, root) ? archive_fail(&job->error, errno, call->destination, "cannot unmount") : 0;
  close(root);
  return result;
}

/* A device node, or what one was mounted on. The container may put another file there in between: then that is gone from where it put it. */
static int run_unlink(struct archive_job *job) {
  struct live_call *call = (struct live_call *)job;
  char path[4096];
  const char *name;
  struct stat info;
  if (unshare(CLONE_FS)) return archive_fail(&job->error, errno, "", "cannot unshare");
  int root = enter(call);
  if (root < 0) return archive_fail(&job->error, errno, "", "cannot enter the container's mount namespace");
  int parent = open_parent(call, root, path, &name), result = 0;
  if (parent < 0 || fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW)) result = archive_fail(&job->error, errno, call->destination, "cannot find the device");
  else if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode) && !(S_ISREG(info.st_mode) && !info.st_size)) result = archive_fail(&job->error, ENODEV, call->destination, "is no device");
  else if (unlinkat(parent, name, 0)) result = archive_fail(&job->error, errno, call->destination, "cannot remove the device");
  if (parent >= 0) close(parent);
  close(root);
  return result;
}

static bool get_text(napi_env env, napi_value value, char *into) {
  size_t length = 0;
  return napi_get_value_string_utf8(env, value, NULL, 0, &length) == napi_ok && length < 4096 && napi_get_value_string_utf8(env, value, into, 4096, &length) == napi_ok;
}

static napi_value begin(napi_env env, struct live_call *call, int32_t process, bool valid) {
  call->process = valid ? fcntl(process, F_DUPFD_CLOEXEC, 3) : -1;
  if (call->process >= 0) return archive_job_start(env, &call->job);
  free(call->ids.ranges);
  free(call);
  napi_throw_type_error(env, "EINVAL", "expected a process and texts");
  return NULL;
}

/* liveMount(processFd, source, destination, flags, ids): a promise. */
static napi_value live_mount(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  int32_t process = -1;
  struct live_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "liveMount");
  call->job = (struct archive_job){.run = run_mount, .release = release};
  bool valid = napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= 4 && napi_get_value_int32(env, arguments[0], &process) == napi_ok &&
               get_text(env, arguments[1], call->source) && get_text(env, arguments[2], call->destination) && napi_get_value_uint32(env, arguments[3], &call->flags) == napi_ok;
  if (valid) call->ids = archive_ids_of(env, arguments[4]);
  call->job.ids = &call->ids;
  return begin(env, call, process, valid);
}

/* liveUnmount(processFd, destination, mountId): a promise. The mount has this id in the container's mountinfo. */
static napi_value live_unmount(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  int32_t process = -1;
  struct live_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "liveUnmount");
  call->job = (struct archive_job){.run = run_unmount, .release = release};
  bool valid = napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count == 3 && napi_get_value_int32(env, arguments[0], &process) == napi_ok &&
               get_text(env, arguments[1], call->destination) && napi_get_value_int64(env, arguments[2], &call->mount_id) == napi_ok;
  return begin(env, call, process, valid);
}

/* liveUnlink(processFd, destination): a promise. */
static napi_value live_unlink(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  int32_t process = -1;
  struct live_call *call = calloc(1, sizeof *call);
  if (!call) return addon_throw_errno(env, ENOMEM, "liveUnlink");
  call->job = (struct archive_job){.run = run_unlink, .release = release};
  bool valid = napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count == 2 && napi_get_value_int32(env, arguments[0], &process) == napi_ok && get_text(env, arguments[1], call->destination);
  return begin(env, call, process, valid);
}

int register_live(napi_env env, napi_value exports) {
  return addon_function(env, exports, "liveMount", live_mount) || addon_function(env, exports, "liveUnmount", live_unmount) || addon_function(env, exports, "liveUnlink", live_unlink);
}
