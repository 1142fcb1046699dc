/*
 * Reserves ports of this host: sockets that are bound and never listen, so that no other program gets the ports. They are
 * kept in flight in a unix socket: one descriptor holds all of them, and closing it gives all back.
 */
#define _GNU_SOURCE
#include "addon.h"
#include "port_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRY_SIZE = 24, BATCH = PORT_BUNDLE_BATCH, BOTH = 10, BOTH_COPIED = 11 };

/* One port between first and last: the first that is free, from start on and around; with start 0 all of them. family: 4, 6, or BOTH for every address of either. copied: its IPv6 sockets are in the second bundle, too. */
struct entry {
  uint8_t protocol, family;
  bool copied;
  uint16_t first, last, start;
  uint8_t address[16];
};

struct job {
  napi_async_work work;
  napi_deferred deferred;
  int32_t netns, bundle, copies;
  uint32_t count, done;
  /* Of the entry that failed: how far its port is from its first one. */
  int32_t offset;
  struct entry *entries;
  /* The port, the first where all are bound, or the negative errno of the one that failed. */
  int32_t *results;
  int error;
  const char *what;
};

/* A socket at the port, or the negative errno. */
static int bind_port(const struct entry *entry, int family, int32_t port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  int only = 1;
  int fd = socket(family, (entry->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, entry->protocol);
  if (fd < 0) return -errno;
  if (entry->family != BOTH) memcpy(family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, entry->address, family == AF_INET ? 4 : 16);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  const struct sockaddr *address = family == AF_INET ? (const void *)&v4 : (const void *)&v6;
  int error = bind(fd, address, family == AF_INET ? sizeof v4 : sizeof v6) ? errno : 0;
  if (!error) return fd;
  close(fd);
  return -error;
}

/* Fills fds with one descriptor, or two for both families; returns their number or the negative errno. */
static int bind_entry(const struct entry *entry, int32_t *port, int *fds) {
  uint32_t size = (uint32_t)entry->last - entry->first + 1;
  int error = -EADDRINUSE;
  for (uint32_t i = 0; i < size && error == -EADDRINUSE; i++) {
    *port = (int32_t)(entry->first + (entry->start - entry->first + i) % size);
    fds[0] = bind_port(entry, entry->family == 6 ? AF_INET6 : AF_INET, *port);
    if (fds[0] < 0 || entry->family != BOTH) {
      error = fds[0] < 0 ? fds[0] : 1;
      continue;
    }
    fds[1] = bind_port(entry, AF_INET6, *port);
    error = fds[1] < 0 ? fds[1] : 2;
    if (fds[1] < 0) close(fds[0]);
  }
  return error;
}

/* Descriptors on their way into the bundle. */
struct batch {
  int socket, copies_socket;
  uint32_t open, copied;
  int fds[BATCH + 1], copies[BATCH + 1];
};

static void close_bundles(struct job *job) {
  if (job->bundle >= 0) close(job->bundle);
  if (job->copies >= 0) close(job->copies);
  job->bundle = job->copies = -1;
}

static int flush(struct job *job, struct batch *batch) {
  int error = port_bundle_put(batch->copies_socket, batch->copies, batch->copied);
  int second = port_bundle_send(batch->socket, batch->fds, batch->open);
  if (!error) error = second;
  batch->open = batch->copied = 0;
  if (error && !job->error) job->error = error, job->what = "sendmsg";
  return error ? -error : 0;
}

/* One port of the entry, and sends what has come together. */
static int bind_one(struct job *job, struct batch *batch, const struct entry *entry, int32_t *port) {
  int bound = bind_entry(entry, port, batch->fds + batch->open);
  if (bound < 0) return bound;
  if (entry->copied) batch->copies[batch->copied++] = batch->fds[batch->open + 1];
  batch->open += (uint32_t)bound;
  return batch->open < BATCH ? 0 : flush(job, batch);
}

static int bind_range(struct job *job, struct batch *batch, const struct entry *entry, int32_t *first) {
  if (entry->start) return bind_one(job, batch, entry, first);
  for (int32_t port = entry->first; port <= entry->last; port++) {
    struct entry one = *entry;
    one.first = one.last = one.start = (uint16_t)port;
    job->offset = port - entry->first;
    int error = bind_one(job, batch, &one, first);
    if (error) return error;
  }
  *first = entry->first;
  return 0;
}

static void bind_all(struct job *job, int socket, int copies_socket) {
  struct batch batch = {.socket = socket, .copies_socket = copies_socket};
  int failed = 0;
  while (job->done < job->count && !failed) {
    failed = bind_range(job, &batch, &job->entries[job->done], &job->results[job->done]);
    if (failed) job->results[job->done] = failed;
    job->done++;
  }
  flush(job, &batch);
  if (!failed && !job->error) return;
  close_bundles(job);
}

static bool has_copies(const struct job *job) {
  for (uint32_t i = 0; i < job->count; i++) {
    if (job->entries[i].copied) return true;
  }
  return false;
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct job *job = data;
  int pair[2], second[2] = {-1, -1}, own = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
    job->error = errno;
    job->what = "socketpair";
    return;
  }
  job->bundle = pair[1];
  if (has_copies(job) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second)) job->error = errno, job->what = "socketpair";
  job->copies = second[1];
  if (!job->error && job->netns >= 0 && ((own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) < 0 || setns(job->netns, CLONE_NEWNET))) {
    job->error = errno;
    job->what = "setns";
  } else if (!job->error) {
    bind_all(job, pair[0], second[0]);
  }
  close(pair[0]);
  if (second[0] >= 0) close(second[0]);
  if (job->error) close_bundles(job);
  if (own < 0) return;
  /* A pool thread left in a foreign namespace would make every later user of the pool act there. */
  if (setns(own, CLONE_NEWNET)) {
    fprintf(stderr, "gantry: cannot return to the network namespace: %s\n", strerror(errno));
    abort();
  }
  close(own);
}

static void free_job(struct job *job) {
  free(job->entries);
  free(job->results);
  free(job);
}

/* The answer: int32 descriptor or -1, that of the second bundle or -1, int32 offset of what failed, then an int32 for each entry that was tried. */
static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  napi_value value;
  void *bytes;
  if (status != napi_ok) job->error = ECANCELED, job->what = "reservePorts";
  if (!job->error && napi_create_buffer(env, 12 + 4 * (size_t)job->done, &bytes, &value) != napi_ok) {
    job->error = ENOMEM;
    job->what = "reservePorts";
    close_bundles(job);
  }
  if (job->error) {
    napi_reject_deferred(env, job->deferred, addon_errno_error(env, job->error, job->what));
  } else {
    memcpy(bytes, &job->bundle, 4);
    memcpy((char *)bytes + 4, &job->copies, 4);
    memcpy((char *)bytes + 8, &job->offset, 4);
    memcpy((char *)bytes + 12, job->results, 4 * (size_t)job->done);
    napi_resolve_deferred(env, job->deferred, value);
  }
  napi_delete_async_work(env, job->work);
  free_job(job);
}

static void read_entries(struct job *job, const uint8_t *data) {
  for (uint32_t i = 0; i < job->count; i++, data += ENTRY_SIZE) {
    struct entry *entry = &job->entries[i];
    entry->protocol = data[0];
    entry->copied = data[1] == BOTH_COPIED;
    entry->family = entry->copied ? BOTH : data[1];
    memcpy(&entry->first, data + 2, 2);
    memcpy(&entry->last, data + 4, 2);
    memcpy(&entry->start, data + 6, 2);
    memcpy(entry->address, data + 8, sizeof entry->address);
  }
}

/* reservePorts(netnsFd | -1, entries): Promise<Buffer>. An entry: u8 protocol, u8 family, u16 first, u16 last, u16 start, u8 address[16]; first <= start <= last, or start 0 and 1 <= first. */
static napi_value reserve_ports(napi_env env, napi_callback_info info) {
  size_t count = 2, length;
  napi_value args[2], promise, resource;
  void *data;
  bool is_buffer;
  struct job *job = calloc(1, sizeof *job);
  if (!job) return addon_throw_errno(env, ENOMEM, "reservePorts");
  job->bundle = job->copies = -1;
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count < 2 || napi_get_value_int32(env, args[0], &job->netns) != napi_ok ||
      napi_is_buffer(env, args[1], &is_buffer) != napi_ok || !is_buffer || napi_get_buffer_info(env, args[1], &data, &length) != napi_ok || length % ENTRY_SIZE) {
    free_job(job);
    return addon_throw_errno(env, EINVAL, "reservePorts");
  }
  job->count = (uint32_t)(length / ENTRY_SIZE);
  job->entries = calloc(job->count + 1, sizeof *job->entries);
  job->results = calloc(job->count + 1, sizeof *job->results);
  if (!job->entries || !job->results) {
    free_job(job);
    return addon_throw_errno(env, ENOMEM, "reservePorts");
  }
  read_entries(job, data);
  napi_create_string_utf8(env, "reservePorts", NAPI_AUTO_LENGTH, &resource);
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok || napi_create_async_work(env, NULL, resource, execute, complete, job, &job->work) != napi_ok ||
      napi_queue_async_work(env, job->work) != napi_ok) {
    free_job(job);
    return addon_throw_errno(env, EIO, "reservePorts");
  }
  return promise;
}

int register_ports(napi_env env, napi_value exports) {
  return addon_function(env, exports, "reservePorts", reserve_ports) || addon_function(env, exports, "pickPorts", pick_ports);
}
