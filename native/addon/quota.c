/* Projects of folders and their quotas, by the fd of a folder: FS_IOC_FSSETXATTR and quotactl_fd(2). XFS and ext4 both know the
 * commands that began as XFS's. Typed views are in src/sys/project-quota.ts. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROJECT_QUOTA 2
#define COMMAND(name) (((unsigned)(name) << 8) | PROJECT_QUOTA)
#define BLOCK 512
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static int quota(int fd, unsigned name, uint32_t project, void *data) { return (int)syscall(SYS_quotactl_fd, fd, COMMAND(name), project, data); }

/* fd, project, number; what is not given stays 0. */
static int arguments_of(napi_env env, napi_callback_info info, int32_t *fd, uint32_t *project, int64_t *number) {
  size_t count = 3;
  napi_value arguments[3];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= 1 && napi_get_value_int32(env, arguments[0], fd) == napi_ok &&
      (count < 2 || napi_get_value_uint32(env, arguments[1], project) == napi_ok) && (count < 3 || napi_get_value_int64(env, arguments[2], number) == napi_ok))
    return 0;
  napi_throw_type_error(env, NULL, "expected numbers");
  return -1;
}

/* projectOf(fd): the project that a folder is of. */
static napi_value project_of(napi_env env, napi_callback_info info) {
  int32_t fd;
  uint32_t unused = 0;
  int64_t none = 0;
  struct fsxattr attributes;
  napi_value value;
  if (arguments_of(env, info, &fd, &unused, &none)) return NULL;
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes)) return addon_throw_errno(env, errno, "FS_IOC_FSGETXATTR");
  napi_create_uint32(env, attributes.fsx_projid, &value);
  return value;
}

/* setProject(fd, project, inherit): with inherit 1, what is made in the folder is of the same project. */
static napi_value set_project(napi_env env, napi_callback_info info) {
  int32_t fd;
  uint32_t project = 0;
  int64_t inherit = 0;
  struct fsxattr attributes;
  if (arguments_of(env, info, &fd, &project, &inherit)) return NULL;
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes)) return addon_throw_errno(env, errno, "FS_IOC_FSGETXATTR");
  attributes.fsx_projid = project;
  if (inherit) attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  else attributes.fsx_xflags &= ~(uint32_t)FS_XFLAG_PROJINHERIT;
  return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) ? addon_throw_errno(env, errno, "FS_IOC_FSSETXATTR") : NULL;
}

/* projectsLimited(fd): whether the file system keeps projects within their limits. */
static napi_value projects_limited(napi_env env, napi_callback_info info) {
  int32_t fd;
  uint32_t unused = 0;
  int64_t none = 0;
  struct fs_quota_stat state = {0};
  napi_value value;
  if (arguments_of(env, info, &fd, &unused, &none)) return NULL;
  if (quota(fd, Q_XGETQSTAT, 0, &state)) return addon_throw_errno(env, errno, "quotactl");
  napi_get_boolean(env, (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0, &value);
  return value;
}

/* projectUsage(fd, project): [limit in bytes, bytes, inodes]; all 0 for a project that nothing is of. */
static napi_value project_usage(napi_env env, napi_callback_info info) {
  int32_t fd;
  uint32_t project = 0;
  int64_t none = 0;
  fs_disk_quota_t found = {0};
  napi_value list, number;
  if (arguments_of(env, info, &fd, &project, &none)) return NULL;
  if (quota(fd, Q_XGETQUOTA, project, &found) && errno != ENOENT) return addon_throw_errno(env, errno, "quotactl");
  const uint64_t values[] = {found.d_blk_hardlimit * BLOCK, found.d_bcount * BLOCK, found.d_icount};
  napi_create_array_with_length(env, 3, &list);
  for (uint32_t i = 0; i < 3; i++) {
    napi_create_double(env, (double)values[i], &number);
    napi_set_element(env, list, i, number);
  }
  return list;
}

/* limitProject(fd, project, bytes): 0 is no limit. */
static napi_value limit_project(napi_env env, napi_callback_info info) {
  int32_t fd;
  uint32_t project = 0;
  int64_t bytes = 0;
  if (arguments_of(env, info, &fd, &project, &bytes)) return NULL;
  uint64_t blocks = ((uint64_t)bytes + BLOCK - 1) / BLOCK;
  fs_disk_quota_t wanted = {
      .d_version = FS_DQUOT_VERSION, .d_flags = FS_PROJ_QUOTA, .d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT, .d_id = project, .d_blk_hardlimit = blocks, .d_blk_softlimit = blocks};
  return quota(fd, Q_XSETQLIM, project, &wanted) ? addon_throw_errno(env, errno, "quotactl") : NULL;
}

int register_quota(napi_env env, napi_value exports) {
  return addon_function(env, exports, "projectOf", project_of) || addon_function(env, exports, "setProject", set_project) || addon_function(env, exports, "projectsLimited", projects_limited) ||
                 addon_function(env, exports, "projectUsage", project_usage) || addon_function(env, exports, "limitProject", limit_project)
             ? -1
             : 0;
}
