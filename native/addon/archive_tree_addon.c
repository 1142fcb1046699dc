/* Tree operations and look-ups inside a root, as JavaScript calls them. */
#define _GNU_SOURCE
#include "addon.h"
#include "archive_job.h"
#include "archive_send.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tree_call {
  struct archive_job job;
  int from, to;
  char name[256], renamed[4096];
  bool renames;
  struct tree_usage usage;
  int *lowers;
  size_t lower_count;
  bool overlay;
  struct id_maps ids;
  int32_t kind;
  char *changes; /* kind, path, NUL; repeated */
  size_t changes_size, changes_room;
  const volatile int32_t *given_up; /* NULL: `to` is no connection */
  napi_ref kept;
};

static void release(napi_env env, struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  if (call->kept) napi_delete_reference(env, call->kept);
  if (call->from >= 0) close(call->from);
  if (call->to >= 0) close(call->to);
  for (size_t i = 0; i < call->lower_count; i++) close(call->lowers[i]);
  free(call->lowers);
  free(call->ids.ranges);
  free(call->changes);
}

static int32_t int_of(napi_env env, napi_value value) {
  int32_t number;
  return napi_get_value_int32(env, value, &number) == napi_ok ? number : -1;
}

static struct tree_call *begin(napi_env env, napi_value from, int (*run)(struct archive_job *)) {
  struct tree_call *call = calloc(1, sizeof *call);
  if (call) {
    call->job = (struct archive_job){.run = run, .release = release};
    call->to = -1;
    call->from = fcntl(int_of(env, from), F_DUPFD_CLOEXEC, 3);
    if (call->from >= 0) return call;
  }
  int number = call ? errno : ENOMEM;
  free(call);
  addon_throw_errno(env, number, "fcntl");
  return NULL;
}

/* For the calls that take one folder only. */
static napi_value call_on_folder(napi_env env, napi_callback_info info, int (*run)(struct archive_job *), napi_value (*value)(napi_env, struct archive_job *)) {
  size_t count = 1;
  napi_value folder;
  napi_get_cb_info(env, info, &count, &folder, NULL, NULL);
  struct tree_call *call = begin(env, folder, run);
  if (!call) return NULL;
  if (value) call->job.value = value;
  return archive_job_start(env, &call->job);
}

static int run_empty(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  return tree_empty(call->from) ? archive_fail(&job->error, errno, "", "cannot empty") : 0;
}

/* treeEmpty(dirFd): a promise. */
static napi_value empty_tree(napi_env env, napi_callback_info info) { return call_on_folder(env, info, run_empty, NULL); }

static int run_usage(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  return tree_usage(call->from, &call->usage) ? archive_fail(&job->error, errno, "", "cannot sum up") : 0;
}

static napi_value usage_value(napi_env env, struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  napi_value object, bytes, inodes, content;
  napi_create_object(env, &object);
  napi_create_double(env, (double)call->usage.bytes, &bytes);
  napi_create_double(env, (double)call->usage.inodes, &inodes);
  napi_create_double(env, (double)call->usage.content, &content);
  napi_set_named_property(env, object, "bytes", bytes);
  napi_set_named_property(env, object, "inodes", inodes);
  napi_set_named_property(env, object, "content", content);
  return object;
}

/* treeUsage(dirFd): a promise of { bytes, inodes, content }. */
static napi_value usage(napi_env env, napi_callback_info info) { return call_on_folder(env, info, run_usage, usage_value); }

static int run_sync(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  return syncfs(call->from) ? archive_fail(&job->error, errno, "", "cannot sync") : 0;
}

/* syncFileSystem(fd): a promise. */
static napi_value sync_file_system(napi_env env, napi_callback_info info) { return call_on_folder(env, info, run_sync, NULL); }

static int run_copy(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  return tree_copy(call->from, call->to) ? archive_fail(&job->error, errno, "", "cannot copy") : 0;
}

/* treeCopy(fromFd, toFd): a promise. */
static napi_value copy(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct tree_call *call = begin(env, arguments[0], run_copy);
  if (!call) return NULL;
  call->to = fcntl(int_of(env, arguments[1]), F_DUPFD_CLOEXEC, 3);
  return archive_job_start(env, &call->job);
}

static int run_write(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  struct archive_send send = {.fd = call->to, .given_up = call->given_up};
  struct tree_output output = {send_bytes, send_file, &send};
  int result = call->renames ? tree_write_as(call->from, call->name, call->renamed, &call->ids, &output) : tree_write(call->from, call->overlay, &call->ids, &output);
  return result || send_flush(&send) ? archive_fail(&job->error, errno, "", "cannot write the archive") : 0;
}

/* A connection is told by an Int32Array, whose first number is not 0 any more when nobody wants the rest. */
static void keep_given_up(napi_env env, struct tree_call *call, napi_value value) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_int32_array || !length) return;
  call->given_up = data;
  napi_create_reference(env, value, 1, &call->kept);
}

/* treeWrite(dirFd, outFd, overlay, ids, givenUp): a promise. outFd must block, or be a connection. */
static napi_value write_tree(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct tree_call *call = begin(env, arguments[0], run_write);
  if (!call) return NULL;
  call->ids = archive_ids_of(env, arguments[3]);
  call->to = fcntl(int_of(env, arguments[1]), F_DUPFD_CLOEXEC, 3);
  napi_get_value_bool(env, arguments[2], &call->overlay);
  keep_given_up(env, call, arguments[4]);
  return archive_job_start(env, &call->job);
}

/* treeWriteAs(dirFd, name or "", renamed, outFd, ids, givenUp): a promise. outFd must block, or be a connection. */
static napi_value write_tree_as(napi_env env, napi_callback_info info) {
  size_t count = 6, size;
  napi_value arguments[6];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct tree_call *call = begin(env, arguments[0], run_write);
  if (!call) return NULL;
  call->renames = true;
  call->ids = archive_ids_of(env, arguments[4]);
  napi_get_value_string_utf8(env, arguments[1], call->name, sizeof call->name, &size);
  napi_get_value_string_utf8(env, arguments[2], call->renamed, sizeof call->renamed, &size);
  call->to = fcntl(int_of(env, arguments[3]), F_DUPFD_CLOEXEC, 3);
  keep_given_up(env, call, arguments[5]);
  return archive_job_start(env, &call->job);
}

static int run_write_changes(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  struct archive_send send = {.fd = call->to};
  return tree_write_changes(call->from, call->lowers, call->lower_count, (enum tree_kind)call->kind, send_bytes, &send) || send_flush(&send) ? archive_fail(&job->error, errno, "", "cannot write the archive") : 0;
}

static void keep_lowers(napi_env env, struct tree_call *call, napi_value list) {
  uint32_t length = 0;
  napi_get_array_length(env, list, &length);
  call->lowers = calloc(length + 1, sizeof(int));
  for (uint32_t i = 0; call->lowers && i < length; i++) {
    napi_value item;
    napi_get_element(env, list, i, &item);
    call->lowers[call->lower_count++] = fcntl(int_of(env, item), F_DUPFD_CLOEXEC, 3);
  }
}

/* treeWriteChanges(dirFd, lowerFds, outFd, kind): a promise. outFd must block. */
static napi_value write_changes(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct tree_call *call = begin(env, arguments[0], run_write_changes);
  if (!call) return NULL;
  napi_get_value_int32(env, arguments[3], &call->kind);
  keep_lowers(env, call, arguments[1]);
  call->to = fcntl(int_of(env, arguments[2]), F_DUPFD_CLOEXEC, 3);
  return archive_job_start(env, &call->job);
}

static int keep_change(void *context, char kind, const char *path) {
  struct tree_call *call = context;
  size_t size = strlen(path) + 2;
  if (call->changes_size + size > call->changes_room) {
    size_t room = (call->changes_room + size) * 2;
    char *grown = room > 256 << 20 ? NULL : realloc(call->changes, room);
    if (!grown) {
      errno = ENOMEM;
      return -1;
    }
    call->changes = grown;
    call->changes_room = room;
  }
  call->changes[call->changes_size] = kind;
  memcpy(call->changes + call->changes_size + 1, path, size - 1);
  call->changes_size += size;
  return 0;
}

static int run_diff(struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  return tree_diff(call->from, call->lowers, call->lower_count, (enum tree_kind)call->kind, keep_change, call) ? archive_fail(&job->error, errno, "", "cannot compare") : 0;
}

static napi_value changes_value(napi_env env, struct archive_job *job) {
  struct tree_call *call = (struct tree_call *)job;
  napi_value buffer;
  napi_create_buffer_copy(env, call->changes_size, call->changes ? call->changes : "", NULL, &buffer);
  return buffer;
}

/* treeDiff(dirFd, lowerFds, kind): a promise of a Buffer of kind ('A', 'C', 'D') and path, each ended by NUL. */
static napi_value diff(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct tree_call *call = begin(env, arguments[0], run_diff);
  if (!call) return NULL;
  napi_get_value_int32(env, arguments[2], &call->kind);
  keep_lowers(env, call, arguments[1]);
  call->job.value = changes_value;
  return archive_job_start(env, &call->job);
}

/* The strings of an array, in one allocation. NULL with an exception. */
static char **strings_of(napi_env env, napi_value array, size_t *count) {
  uint32_t length = 0;
  size_t total = 0, size;
  napi_get_array_length(env, array, &length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value item;
    napi_get_element(env, array, i, &item);
    if (napi_get_value_string_utf8(env, item, NULL, 0, &size) != napi_ok) {
      napi_throw_type_error(env, "EINVAL", "expected strings");
      return NULL;
    }
    total += size + 1;
  }
  char **list = malloc((length + 1) * sizeof *list + total), *room = (char *)(list + length + 1);
  if (!list) {
    addon_throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value item;
    napi_get_element(env, array, i, &item);
    napi_get_value_string_utf8(env, item, room, total, &size);
    list[i] = room;
    room += size + 1;
    total -= size + 1;
  }
  *count = length;
  return list;
}

/* overlayOpen(lowers, [upper, work] or [], options, folder, [userns, uid, gid] or []): an fd of the root of an overlay that is mounted nowhere. */
static napi_value open_overlay(napi_env env, napi_callback_info info) {
  size_t count = 5, lower_count, own_count, option_count, size;
  char folder[4096];
  int64_t numbers[3] = {0};
  napi_value arguments[5], value = NULL;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  char **lowers = strings_of(env, arguments[0], &lower_count), **own = lowers ? strings_of(env, arguments[1], &own_count) : NULL;
  char **options = own ? strings_of(env, arguments[2], &option_count) : NULL;
  if (options) {
    bool writable = own_count == 2, mapped = true;
    for (uint32_t i = 0; i < 3; i++) {
      napi_value item;
      if (napi_get_element(env, arguments[4], i, &item) != napi_ok || napi_get_value_int64(env, item, &numbers[i]) != napi_ok) mapped = false;
    }
    if (napi_get_value_string_utf8(env, arguments[3], folder, sizeof folder, &size) != napi_ok) mapped = false;
    struct overlay_maps maps = {.userns = (int)numbers[0], .folder = folder, .uid = (uid_t)numbers[1], .gid = (gid_t)numbers[2]};
    int fd = overlay_open((const char *const *)lowers, lower_count, writable ? own[0] : "", writable ? own[1] : "", (const char *const *)options, option_count, mapped ? &maps : NULL);
    if (fd < 0) addon_throw_errno(env, errno, "fsmount");
    else napi_create_int32(env, fd, &value);
  }
  free(lowers);
  free(own);
  free(options);
  return value;
}

static napi_value open_path(napi_env env, napi_callback_info info, int (*open_at)(int, const char *, int)) {
  size_t count = 3, size;
  char path[4096];
  napi_value arguments[3], value;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (napi_get_value_string_utf8(env, arguments[1], path, sizeof path, &size) != napi_ok || strlen(path) != size) {
    napi_throw_type_error(env, "EINVAL", "expected a path");
    return NULL;
  }
  int fd = open_at(int_of(env, arguments[0]), path, int_of(env, arguments[2]));
  if (fd < 0) return addon_throw_errno(env, errno, "openat2");
  napi_create_int32(env, fd, &value);
  return value;
}

/* openInRoot(rootFd, path, flags): an fd, links resolved inside the root. Throws the errno. */
static napi_value open_path_in_root(napi_env env, napi_callback_info info) { return open_path(env, info, open_in_root); }

/* openBeneath(rootFd, path, flags): an fd; EXDEV where a link leads out of the root. */
static napi_value open_path_beneath(napi_env env, napi_callback_info info) { return open_path(env, info, open_beneath); }

/* tellsKinds(dirFd): whether reading a folder, which must not be empty, says of what kind its entries are. */
static napi_value tells_kinds(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value folder, value;
  napi_get_cb_info(env, info, &count, &folder, NULL, NULL);
  int fd = openat(int_of(env, folder), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd < 0 ? NULL : fdopendir(fd);
  if (!stream) {
    int error = errno;
    if (fd >= 0) close(fd);
    return addon_throw_errno(env, error, "opendir");
  }
  bool known = true;
  for (struct dirent *entry; (entry = readdir(stream));) known = known && entry->d_type != DT_UNKNOWN;
  closedir(stream);
  napi_get_boolean(env, known, &value);
  return value;
}

/* linkFile(fd, path): gives the file of fd, also an unnamed one, a further name on its file system. */
static napi_value link_file(napi_env env, napi_callback_info info) {
  size_t count = 2, size;
  char path[4096];
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (napi_get_value_string_utf8(env, arguments[1], path, sizeof path, &size) != napi_ok || strlen(path) != size) {
    napi_throw_type_error(env, "EINVAL", "expected a path");
    return NULL;
  }
  return linkat(int_of(env, arguments[0]), "", AT_FDCWD, path, AT_EMPTY_PATH) ? addon_throw_errno(env, errno, "linkat") : NULL;
}

int register_archive_view(napi_env env, napi_value exports);

int register_archive_tree(napi_env env, napi_value exports) {
  return addon_function(env, exports, "treeWriteAs", write_tree_as) || register_archive_view(env, exports) || addon_function(env, exports, "treeEmpty", empty_tree) || addon_function(env, exports, "treeUsage", usage) ||
         addon_function(env, exports, "syncFileSystem", sync_file_system) || addon_function(env, exports, "openInRoot", open_path_in_root) || addon_function(env, exports, "openBeneath", open_path_beneath) ||
         addon_function(env, exports, "linkFile", link_file) || addon_function(env, exports, "tellsKinds", tells_kinds) || addon_function(env, exports, "treeCopy", copy) ||
         addon_function(env, exports, "treeDiff", diff) || addon_function(env, exports, "treeWrite", write_tree) || addon_function(env, exports, "treeWriteChanges", write_changes) || addon_function(env, exports, "overlayOpen", open_overlay);
}
