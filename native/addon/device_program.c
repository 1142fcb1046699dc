/*
 * replaceDeviceProgram(group, program): the device program of a v2 group that is in use becomes another one. The kernel swaps the one
 * that is there for it; where there are several, or it cannot swap (before 5.6), the new one comes first: until the others
 * are gone a device is used only if all of them allow it.
 */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As many as the kernel attaches to one group. */
#define MAX_PROGRAMS 64

/* Some kernels write members of a query that its caller's headers do not know yet. */
union call {
  union bpf_attr attr;
  char room[512];
};

static int bpf(int command, union call *call) { return (int)syscall(SYS_bpf, command, call, sizeof call->attr); }

/* Descriptors of the programs that are attached to this very group; how many, or -errno. */
static int attached(int group, int *programs) {
  uint32_t ids[MAX_PROGRAMS];
  union call query = {0};
  query.attr.query.target_fd = (uint32_t)group;
  query.attr.query.attach_type = BPF_CGROUP_DEVICE;
  query.attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
  query.attr.query.prog_cnt = MAX_PROGRAMS;
  if (bpf(BPF_PROG_QUERY, &query)) return -errno;
  int count = 0;
  for (uint32_t i = 0; i < query.attr.query.prog_cnt; i++) {
    union call get = {0};
    get.attr.prog_id = ids[i];
    int program = bpf(BPF_PROG_GET_FD_BY_ID, &get);
    if (program >= 0)
      programs[count++] = program;
    else if (errno != ENOENT) {
      int error = -errno;
      while (count) close(programs[--count]);
      return error;
    }
  }
  return count;
}

static int load(const void *code, size_t bytes) {
  union call call = {0};
  call.attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  call.attr.insns = (uint64_t)(uintptr_t)code;
  call.attr.insn_cnt = (uint32_t)(bytes / sizeof(struct bpf_insn));
  call.attr.license = (uint64_t)(uintptr_t)"Apache";
  int program;
  /* The verifier gives up when a signal comes. */
  for (int tries = 0; (program = bpf(BPF_PROG_LOAD, &call)) < 0 && errno == EAGAIN && tries < 30;) tries++;
  return program < 0 ? -errno : program;
}

static int attach(int group, int program, int replaced) {
  union call call = {0};
  call.attr.target_fd = (uint32_t)group;
  call.attr.attach_bpf_fd = (uint32_t)program;
  call.attr.attach_type = BPF_CGROUP_DEVICE;
  call.attr.attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0);
  if (replaced >= 0) call.attr.replace_bpf_fd = (uint32_t)replaced;
  return bpf(BPF_PROG_ATTACH, &call) ? -errno : 0;
}

static int detach(int group, int program) {
  union call call = {0};
  call.attr.target_fd = (uint32_t)group;
  call.attr.attach_bpf_fd = (uint32_t)program;
  call.attr.attach_type = BPF_CGROUP_DEVICE;
  return bpf(BPF_PROG_DETACH, &call) ? -errno : 0;
}

static int swap(int group, int program, const int *old, int count) {
  if (count == 1) {
    int error = attach(group, program, old[0]);
    if (error != -EINVAL) return error;
  }
  int error = attach(group, program, -1);
  for (int i = 0; !error && i < count; i++) error = detach(group, old[i]);
  return error;
}

static int replace(const char *path, const void *code, size_t bytes) {
  int old[MAX_PROGRAMS];
  int group = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (group < 0) return -errno;
  int count = attached(group, old);
  int error = count < 0 ? count : 0;
  if (!error) {
    int program = load(code, bytes);
    error = program < 0 ? program : swap(group, program, old, count);
    if (program >= 0) close(program);
    while (count) close(old[--count]);
  }
  close(group);
  return error;
}

static napi_value replace_device_program(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0, bytes = 0;
  napi_value arguments[2];
  char path[PATH_MAX];
  void *code = NULL;
  bool is_buffer = false;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 2 || napi_get_value_string_utf8(env, arguments[0], path, sizeof path, &length) != napi_ok ||
      napi_is_buffer(env, arguments[1], &is_buffer) != napi_ok || !is_buffer || napi_get_buffer_info(env, arguments[1], &code, &bytes) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a path and a buffer");
    return NULL;
  }
  if (length == sizeof path - 1) return addon_throw_errno(env, ENAMETOOLONG, "bpf");
  int error = replace(path, code, bytes);
  return error ? addon_throw_errno(env, -error, "bpf") : NULL;
}

int register_device_program(napi_env env, napi_value exports) { return addon_function(env, exports, "replaceDeviceProgram", replace_device_program); }
