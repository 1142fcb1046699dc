/*
 * Netlink sockets and network namespaces. Whatever may wait for a kernel lock (RTNL can be held for tens of milliseconds) or
 * enters another namespace runs on the libuv pool; a pool thread is always put back into the process's own namespace.
 * Messages are opaque here: TypeScript encodes and decodes them.
 */
#define _GNU_SOURCE
#include "addon.h"
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKET_BUFFER = 8 << 20, RECEIVE_CHUNK = 64 << 10 };

static int own_netns = -1;

struct bytes {
  uint8_t *data;
  size_t length, capacity;
};

static int bytes_reserve(struct bytes *b, size_t more) {
  if (b->length + more <= b->capacity) return 0;
  size_t capacity = b->capacity ? b->capacity * 2 : 4096;
  while (capacity < b->length + more) capacity *= 2;
  uint8_t *data = realloc(b->data, capacity);
  if (!data) return ENOMEM;
  b->data = data;
  b->capacity = capacity;
  return 0;
}

static int bytes_append(struct bytes *b, const void *data, size_t length) {
  int error = bytes_reserve(b, length);
  if (error) return error;
  if (length) memcpy(b->data + b->length, data, length);
  b->length += length;
  return 0;
}

/* Of networkSteps: what to do in which namespace. */
struct step {
  int32_t kind, netns;
  struct bytes data;
};

/* One asynchronous call: run() fills fd_result or reply, or error and what. */
struct job {
  napi_async_work work;
  napi_deferred deferred;
  void (*run)(struct job *);
  int socket, protocol, netns;
  struct step *steps;
  uint32_t count;
  int32_t made;
  struct bytes request, reply;
  int returns_fd, fd_result;
  int error;
  const char *what;
};

static void fail(struct job *job, int error, const char *what) {
  if (job->error) return;
  job->error = error;
  job->what = what;
}

static int enter(struct job *job) {
  if (job->netns < 0) return 0;
  if (setns(job->netns, CLONE_NEWNET) == 0) return 0;
  fail(job, errno, "setns");
  return -1;
}

/* A pool thread left in a foreign namespace would make every later user of the pool act there. */
static void leave_namespace(void) {
  if (setns(own_netns, CLONE_NEWNET) != 0) {
    fprintf(stderr, "gantry: cannot return to the network namespace: %s\n", strerror(errno));
    abort();
  }
}

static int open_socket(struct job *job) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, job->protocol);
  if (fd < 0) {
    fail(job, errno, "socket");
    return -1;
  }
  int on = 1, size = SOCKET_BUFFER;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  return fd;
}

/* Bound at once: the kernel's broadcasts skip port 0, which an unbound socket has. */
static void run_socket(struct job *job) {
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  if (enter(job)) return;
  int fd = open_socket(job);
  if (job->netns >= 0) leave_namespace();
  if (fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any)) {
    fail(job, errno, "bind");
    close(fd);
    return;
  }
  job->fd_result = fd;
}

/* The kernel handles a request inside sendto and continues a dump inside recv, so an empty queue means that all is answered. */
static void converse(struct job *job, int fd, const struct bytes *request) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do sent = sendto(fd, request->data, request->length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail(job, errno, "sendto");
  for (;;) {
    if (bytes_reserve(&job->reply, RECEIVE_CHUNK)) return fail(job, ENOMEM, "recv");
    struct sockaddr_nl from = {0};
    socklen_t from_length = sizeof from;
    ssize_t got = recvfrom(fd, job->reply.data + job->reply.length, RECEIVE_CHUNK, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got < 0) return fail(job, errno, "recvfrom");
    if (got > RECEIVE_CHUNK) return fail(job, EMSGSIZE, "recvfrom");
    if (from.nl_pid == 0) job->reply.length += (size_t)got;
  }
}

static void run_exchange(struct job *job) {
  int fd = job->socket;
  if (fd < 0) {
    if (enter(job)) return;
    fd = open_socket(job);
    if (job->netns >= 0) leave_namespace();
    if (fd < 0) return;
  }
  converse(job, fd, &job->request);
  if (job->socket < 0) close(fd);
}

/* request: NUL-terminated pairs of a path below /proc/sys and a value; an empty value reads.
   reply: for each an int32 errno, a uint32 length and what was read. */
static int sysctl_one(struct bytes *reply, const char *name, const char *value) {
  char path[512], text[4096];
  int32_t error = 0;
  uint32_t length = 0;
  int reads = *value == 0, fd = -1;
  if (snprintf(path, sizeof path, "/proc/sys/%s", name) >= (int)sizeof path) error = ENAMETOOLONG;
  else if ((fd = open(path, (reads ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NOFOLLOW)) < 0) error = errno;
  else if (reads) {
    ssize_t got = read(fd, text, sizeof text);
    if (got < 0) error = errno;
    else length = (uint32_t)got;
  } else if (write(fd, value, strlen(value)) < 0) error = errno;
  if (fd >= 0) close(fd);
  return bytes_append(reply, &error, sizeof error) || bytes_append(reply, &length, sizeof length) || bytes_append(reply, text, length);
}

static void run_sysctls(struct job *job, const struct bytes *pairs) {
  const char *at = (const char *)pairs->data, *end = at + pairs->length;
  while (at < end) {
    const char *value = memchr(at, 0, (size_t)(end - at));
    const char *stop = value && value + 1 < end ? memchr(value + 1, 0, (size_t)(end - value - 1)) : NULL;
    if (!stop) return fail(job, EINVAL, "sysctl list");
    if (sysctl_one(&job->reply, at, value + 1)) return fail(job, ENOMEM, "sysctl list");
    at = stop + 1;
  }
}

/* Who owns it: a user namespace by its descriptor, or a new one with the maps (the uid map, NUL, the gid map, NUL), or ours. */
static void run_unshare(struct job *job, int userns, const struct bytes *maps) {
  if (userns >= 0) {
    job->made = userns_network(userns);
    return job->made < 0 ? fail(job, errno, "setns") : (void)0;
  }
  if (maps->length) {
    const char *uid_map = (const char *)maps->data, *gid_map = memchr(uid_map, 0, maps->length);
    if (!gid_map || uid_map[maps->length - 1]) return fail(job, EINVAL, "id maps");
    job->made = userns_make(uid_map, gid_map + 1, 1);
    return job->made < 0 ? fail(job, errno, "clone") : (void)0;
  }
  if (unshare(CLONE_NEWNET) != 0) return fail(job, errno, "unshare");
  job->made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (job->made < 0) fail(job, errno, "open /proc/thread-self/ns/net");
}

/* A reply that refuses: later steps rely on the earlier ones. */
static int refuses(const uint8_t *data, size_t length) {
  while (length >= sizeof(struct nlmsghdr)) {
    struct nlmsghdr header;
    int32_t error;
    memcpy(&header, data, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length) return 0;
    if (header.nlmsg_type == NLMSG_ERROR && header.nlmsg_len >= sizeof header + sizeof error) {
      memcpy(&error, data + sizeof header, sizeof error);
      if (error) return 1;
    }
    size_t step = NLMSG_ALIGN(header.nlmsg_len);
    if (step >= length) return 0;
    data += step;
    length -= step;
  }
  return 0;
}

enum { STEP_NAMESPACE, STEP_SYSCTLS, STEP_EXCHANGE, IN_NEW = -2 };

/* Runs one step in its namespace; its reply follows a uint32 with the reply's length. Returns whether to go on. */
static int run_step(struct job *job, struct step *step) {
  uint32_t length = 0;
  size_t start = job->reply.length;
  if (bytes_append(&job->reply, &length, sizeof length)) return fail(job, ENOMEM, "networkSteps"), 0;
  int netns = step->netns == IN_NEW ? job->made : step->netns;
  if (step->kind != STEP_NAMESPACE && setns(netns < 0 ? own_netns : netns, CLONE_NEWNET) != 0) return fail(job, errno, "setns"), 0;
  int fd = -1;
  if (step->kind == STEP_NAMESPACE) run_unshare(job, step->netns, &step->data);
  else if (step->kind == STEP_SYSCTLS) run_sysctls(job, &step->data);
  else if ((fd = open_socket(job)) >= 0) converse(job, fd, &step->data);
  if (fd >= 0) close(fd);
  if (job->error) return 0;
  length = (uint32_t)(job->reply.length - start - sizeof length);
  memcpy(job->reply.data + start, &length, sizeof length);
  return step->kind != STEP_EXCHANGE || !refuses(job->reply.data + start + sizeof length, length);
}

/* reply: the int32 descriptor of the namespace that was made, or -1, then that of each step that was run. */
static void run_steps(struct job *job) {
  if (bytes_append(&job->reply, &job->made, sizeof job->made)) return fail(job, ENOMEM, "networkSteps");
  for (uint32_t i = 0; i < job->count && run_step(job, &job->steps[i]); i++) continue;
  leave_namespace();
  if (job->error && job->made >= 0) close(job->made);
  memcpy(job->reply.data, &job->made, sizeof job->made);
}

static void free_job(struct job *job) {
  for (uint32_t i = 0; i < job->count; i++) free(job->steps[i].data.data);
  free(job->steps);
  free(job->request.data);
  free(job->reply.data);
  free(job);
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct job *job = data;
  job->run(job);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  napi_value value;
  if (status != napi_ok) fail(job, ECANCELED, "netlink");
  if (!job->error && job->returns_fd) napi_create_int32(env, job->fd_result, &value);
  else if (!job->error && napi_create_buffer_copy(env, job->reply.length, job->reply.data, NULL, &value) != napi_ok) fail(job, ENOMEM, "netlink");
  if (job->error) napi_reject_deferred(env, job->deferred, addon_errno_error(env, job->error, job->what));
  else napi_resolve_deferred(env, job->deferred, value);
  napi_delete_async_work(env, job->work);
  free_job(job);
}

static napi_value queue(napi_env env, const struct job *template, const char *name) {
  struct job *job = malloc(sizeof *job);
  if (!job) abort();
  *job = *template;
  napi_value promise, resource;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok || napi_create_async_work(env, NULL, resource, execute, complete, job, &job->work) != napi_ok ||
      napi_queue_async_work(env, job->work) != napi_ok) {
    free_job(job);
    return addon_throw_errno(env, EIO, name);
  }
  return promise;
}

static int copy_request(napi_env env, napi_value value, struct bytes *request) {
  void *data;
  size_t length;
  bool is_buffer;
  if (napi_is_buffer(env, value, &is_buffer) != napi_ok || !is_buffer || napi_get_buffer_info(env, value, &data, &length) != napi_ok) return EINVAL;
  return bytes_append(request, data, length);
}

/* netlinkSocket(protocol, netnsFd | -1): Promise<fd> */
static napi_value netlink_socket(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  struct job job = {.run = run_socket, .returns_fd = 1};
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
  if (count < 2 || napi_get_value_int32(env, args[0], &job.protocol) != napi_ok || napi_get_value_int32(env, args[1], &job.netns) != napi_ok)
    return addon_throw_errno(env, EINVAL, "netlinkSocket");
  return queue(env, &job, "netlinkSocket");
}

/* netlinkExchange(fd | -1, protocol, netnsFd | -1, request): Promise<Buffer>. Without an fd a socket is opened in the namespace for this exchange. */
static napi_value netlink_exchange(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value args[4];
  struct job job = {.run = run_exchange};
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
  if (count < 4 || napi_get_value_int32(env, args[0], &job.socket) != napi_ok || napi_get_value_int32(env, args[1], &job.protocol) != napi_ok ||
      napi_get_value_int32(env, args[2], &job.netns) != napi_ok || copy_request(env, args[3], &job.request))
    return addon_throw_errno(env, EINVAL, "netlinkExchange");
  return queue(env, &job, "netlinkExchange");
}

static int read_step(napi_env env, napi_value value, struct step *step) {
  napi_value parts[3];
  for (uint32_t i = 0; i < 3; i++)
    if (napi_get_element(env, value, i, &parts[i]) != napi_ok) return EINVAL;
  if (napi_get_value_int32(env, parts[0], &step->kind) != napi_ok || napi_get_value_int32(env, parts[1], &step->netns) != napi_ok) return EINVAL;
  return copy_request(env, parts[2], &step->data);
}

/* networkSteps([kind, netns, data][]): Promise<Buffer>. Kinds: 0 makes a namespace, 1 sysctls, 2 an rtnetlink exchange. In order, on one
   thread, until one fails. netns: an fd, -1 the process's own, -2 the one made before. Formats are at run_steps, run_step and sysctl_one. */
static napi_value network_steps(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  struct job job = {.run = run_steps, .protocol = NETLINK_ROUTE, .made = -1};
  uint32_t length;
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
  if (count < 1 || napi_get_array_length(env, args[0], &length) != napi_ok) return addon_throw_errno(env, EINVAL, "networkSteps");
  if (!(job.steps = calloc(length ? length : 1, sizeof *job.steps))) return addon_throw_errno(env, ENOMEM, "networkSteps");
  int error = 0;
  for (; job.count < length && !error; job.count++) {
    napi_value element;
    if (napi_get_element(env, args[0], job.count, &element) != napi_ok) error = EINVAL;
    else error = read_step(env, element, &job.steps[job.count]);
  }
  if (!error) return queue(env, &job, "networkSteps");
  for (uint32_t i = 0; i < job.count; i++) free(job.steps[i].data.data);
  free(job.steps);
  return addon_throw_errno(env, error, "networkSteps");
}

int register_netlink(napi_env env, napi_value exports) {
  if (own_netns < 0) own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own_netns < 0) {
    addon_throw_errno(env, errno, "open /proc/self/ns/net");
    return -1;
  }
  return addon_function(env, exports, "netlinkSocket", netlink_socket) || addon_function(env, exports, "netlinkExchange", netlink_exchange) ||
         addon_function(env, exports, "networkSteps", network_steps) || register_netlink_watch(env, exports);
}
