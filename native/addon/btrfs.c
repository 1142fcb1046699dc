/* Subvolumes of btrfs and their quota groups, by fd. Typed views are in src/sys/btrfs.ts; removal is in archive_tree.c. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* fd, name. */
static int place_of(napi_env env, napi_callback_info info, napi_value arguments[3], int32_t *fd, char name[256]) {
  size_t count = 3, size = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= 2 && napi_get_value_int32(env, arguments[0], fd) == napi_ok &&
      napi_get_value_string_utf8(env, arguments[1], name, 256, &size) == napi_ok && size < 255)
    return 0;
  napi_throw_type_error(env, NULL, "expected an fd and a name");
  return -1;
}

/* subvolumeCreate(parentFd, name) */
static napi_value create(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t fd;
  struct btrfs_ioctl_vol_args_v2 wanted = {0};
  if (place_of(env, info, arguments, &fd, wanted.name)) return NULL;
  return ioctl(fd, BTRFS_IOC_SUBVOL_CREATE_V2, &wanted) ? addon_throw_errno(env, errno, "BTRFS_IOC_SUBVOL_CREATE_V2") : NULL;
}

/* subvolumeSnapshot(parentFd, name, sourceFd): writable. */
static napi_value take_snapshot(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t fd, source = -1;
  struct btrfs_ioctl_vol_args_v2 wanted = {0};
  if (place_of(env, info, arguments, &fd, wanted.name)) return NULL;
  napi_get_value_int32(env, arguments[2], &source);
  wanted.fd = source;
  return ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, &wanted) ? addon_throw_errno(env, errno, "BTRFS_IOC_SNAP_CREATE_V2") : NULL;
}

/* subvolumeLimit(fd, bytes): what the subvolume may refer to. Switches quotas of the file system on. */
static napi_value limit(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  int32_t fd = -1;
  int64_t bytes = 0;
  struct btrfs_ioctl_quota_ctl_args quotas = {.cmd = BTRFS_QUOTA_CTL_ENABLE};
  struct btrfs_ioctl_qgroup_limit_args wanted = {.lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER}};
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || napi_get_value_int32(env, arguments[0], &fd) != napi_ok || napi_get_value_int64(env, arguments[1], &bytes) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected numbers");
    return NULL;
  }
  wanted.lim.max_rfer = (uint64_t)bytes;
  if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &quotas) && errno != EEXIST) return addon_throw_errno(env, errno, "BTRFS_IOC_QUOTA_CTL");
  return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &wanted) ? addon_throw_errno(env, errno, "BTRFS_IOC_QGROUP_LIMIT") : NULL;
}

static uint64_t subvolume_id(int parent, const char *name) {
  struct btrfs_ioctl_ino_lookup_args found = {.objectid = BTRFS_FIRST_FREE_OBJECTID};
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return 0;
  int result = ioctl(fd, BTRFS_IOC_INO_LOOKUP, &found);
  close(fd);
  return result ? 0 : found.treeid;
}

bool is_subvolume(int parent, const char *name) {
  struct stat st;
  struct statfs fs;
  return !fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == BTRFS_FIRST_FREE_OBJECTID && S_ISDIR(st.st_mode) && !fstatfs(parent, &fs) && fs.f_type == BTRFS_SUPER_MAGIC;
}

int destroy_subvolume(int parent, const char *name) {
  struct btrfs_ioctl_vol_args which = {0};
  struct btrfs_ioctl_qgroup_create_args group = {.create = 0, .qgroupid = subvolume_id(parent, name)};
  if (strlen(name) >= sizeof which.name) return -1;
  memcpy(which.name, name, strlen(name));
  if (ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &which)) return -1;
  /* Newer kernels drop the group themselves, later; without quotas there is none. */
  if (group.qgroupid) ioctl(parent, BTRFS_IOC_QGROUP_CREATE, &group);
  return 0;
}

int register_btrfs(napi_env env, napi_value exports) {
  return addon_function(env, exports, "subvolumeCreate", create) || addon_function(env, exports, "subvolumeSnapshot", take_snapshot) || addon_function(env, exports, "subvolumeLimit", limit) ? -1 : 0;
}
