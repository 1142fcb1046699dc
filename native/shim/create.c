#define _GNU_SOURCE
#include "adoption.h"
#include "files.h"
#include "host.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct timings host_timings;

void free_plan(void) {
  arena_close(&shim.arena);
  if (shim.request) munmap(shim.request, shim.request_size);
  if (shim.plan_bytes) munmap(shim.plan_bytes, shim.plan_size);
  free(shim.plan);
  shim.request = shim.plan_bytes = NULL;
  shim.plan = NULL;
}

void give_up(const struct failure *failure) {
  struct process *init = &shim.init;
  if (init->pid > 0) kill(init->pid, SIGKILL);
  if (init->spawn.stage > 0) kill(init->spawn.stage, SIGKILL);
  if (!shim.private_pids) kill_cgroups(&shim.cgroups, SIGKILL);
  /* What another runtime made goes with its own "delete"; it need not be in the groups that we know. */
  while (!init->adoption && (waitpid(-1, NULL, 0) > 0 || errno == EINTR));
  run_teardown(&shim.teardown, 0);
  end_adoption(init);
  if (shim.folder) remove_folder(true);
  reply_failure(init->asker, init->serial, failure);
  _exit(1);
}

/* ---- the request ---- */

struct create_request {
  const char *folder, *log_path, *attributes;
  bool terminal, in, stdin_once, autostart, trace, plan_in_fd;
  uint32_t width, height, max_files;
  uint64_t max_bytes;
  struct blob plan;
  struct message_fds fds;
};

static bool decode_request(struct reader *r, struct create_request *request) {
  request->folder = read_string(r);
  request->terminal = read_bool(r);
  request->in = read_bool(r);
  request->stdin_once = read_bool(r);
  request->autostart = read_bool(r);
  request->trace = read_bool(r);
  request->width = read_u32(r);
  request->height = read_u32(r);
  request->log_path = read_string(r);
  request->attributes = read_string(r);
  request->max_bytes = read_u64(r);
  request->max_files = read_u32(r);
  request->plan_in_fd = read_bool(r);
  request->plan = read_blob(r);
  return reader_done(r) && request->folder[0] == '/' && strlen(request->folder) < 4000 && request->max_files >= 1;
}

static int map_plan(struct create_request *request) {
  int fd = message_take_fd(&request->fds);
  struct stat info;
  if (fd < 0) return -EPROTO;
  int error = fstat(fd, &info) ? -errno : info.st_size < 8 || info.st_size > PLAN_MAX_BYTES ? -EPROTO : 0;
  if (!error) {
    shim.plan_size = (size_t)info.st_size;
    shim.plan_bytes = mmap(NULL, shim.plan_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (shim.plan_bytes == MAP_FAILED) {
      shim.plan_bytes = NULL;
      error = -errno;
    } else request->plan = (struct blob){shim.plan_bytes, (uint32_t)shim.plan_size};
  }
  close(fd);
  return error;
}

static int read_request(struct create_request *request) {
  shim.request_size = REQUEST_MAX;
  shim.request = mmap(NULL, REQUEST_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (shim.request == MAP_FAILED) _exit(1);
  ssize_t length = message_receive(shim.init.asker->source.fd, shim.request, REQUEST_MAX, &request->fds, 0);
  if (length <= 0) _exit(1);
  struct reader reader = reader_of(shim.request, (size_t)length);
  if (read_u8(&reader) != REQUEST_CREATE) return -EPROTO;
  shim.init.serial = read_u32(&reader);
  if (!decode_request(&reader, request)) return -EPROTO;
  int error = request->plan_in_fd ? map_plan(request) : 0;
  shim.plan = malloc(sizeof *shim.plan);
  if (!shim.plan) return -ENOMEM;
  return error ? error : plan_decode(request->plan.bytes, request->plan.length, shim.plan, &shim.arena);
}

/* ---- what outlives the plan ---- */

static struct strings copy_strings(const struct strings *from) {
  struct strings to = {.count = 0, .items = calloc(from->count + 1, sizeof *to.items)};
  if (!to.items) return to;
  for (; to.count < from->count; to.count++)
    if (!(to.items[to.count] = strdup(from->items[to.count]))) break;
  return to;
}

static int keep_teardown(void) {
  const struct ops *from = &shim.plan->teardown;
  shim.teardown.items = calloc(from->count + 1, sizeof *from->items);
  if (!shim.teardown.items) return -ENOMEM;
  for (uint32_t i = 0; i < from->count; i++) {
    struct op *op = &shim.teardown.items[i];
    *op = (struct op){.code = from->items[i].code, .timeout = from->items[i].timeout, .path = strdup(from->items[i].path)};
    if (!op->path) return -ENOMEM;
    if (op->code == OP_HOOK) {
      op->list = copy_strings(&from->items[i].list);
      op->env = copy_strings(&from->items[i].env);
      op->data = strdup(from->items[i].data);
      if (!op->data) return -ENOMEM;
    }
    shim.teardown.count = i + 1;
  }
  shim.cgroups = copy_strings(plan_cgroups(shim.plan));
  return shim.cgroups.items ? 0 : -ENOMEM;
}

/* What the id 0 of a namespace with these maps ("inside outside count" lines) is outside. */
static uint32_t mapped_root(const char *map) {
  for (unsigned inside, outside; map && sscanf(map, "%u %u", &inside, &outside) == 2;) {
    if (inside == 0) return outside;
    map = strchr(map, '\n');
    if (map) map++;
  }
  return 0;
}

static struct owner plan_owner(const struct plan *plan) {
  for (uint32_t i = 0; i < plan->parent.count; i++) {
    const struct op *op = &plan->parent.items[i];
    if (op->code == OP_ID_MAPS) return (struct owner){mapped_root(op->uid_map), mapped_root(op->gid_map)};
  }
  /* Of a namespace that is joined, the root file system tells. */
  for (uint32_t i = 0; i < plan->child.count; i++) {
    const struct op *op = &plan->child.items[i];
    if ((op->code == OP_ROOT_OVERLAY || op->code == OP_ROOT_BIND) && op->uid_map[0]) return (struct owner){mapped_root(op->uid_map), mapped_root(op->gid_map)};
  }
  return (struct owner){0, 0};
}

void hold_init(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", shim.init.pid);
  shim.init.pidfd = (int)syscall(SYS_pidfd_open, shim.init.pid, 0);
  shim.mount_namespace = open(path, O_RDONLY | O_CLOEXEC);
}

/* ---- steps ---- */

static int make_folder(const struct create_request *request, struct failure *failure) {
  /* The daemon may have been quicker. */
  if (mkdir(request->folder, 0700) && errno != EEXIST) return fail_errno(failure, "folder", request->folder);
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/shim.sock", request->folder);
  int listener = listen_at(path, 16, false);
  if (listener < 0) return fail(failure, listener == -EADDRINUSE ? EEXIST : -listener, "folder", path);
  shim.folder = strdup(request->folder);
  if (!shim.folder) return fail(failure, ENOMEM, "folder", path);
  shim.listener.fd = listener;
  return 0;
}

static int open_log(const struct create_request *request, struct failure *failure) {
  shim.log.fd = -1;
  if (!request->log_path[0]) return 0;
  char *path = strdup(request->log_path), *attributes = strdup(request->attributes);
  int error = path && attributes ? logfile_open(&shim.log, path, attributes, request->max_bytes, request->max_files) : -ENOMEM;
  if (error) return fail(failure, -error, "log", request->log_path);
  shim.init.log = &shim.log;
  return 0;
}

static int start_init(const struct create_request *request, struct failure *failure) {
  struct process *init = &shim.init;
  const struct op *adoption = plan_adoption(shim.plan);
  int child[3];
  if (adoption) {
    struct adoption_request asked = {adoption->path, adoption->target, adoption->width, adoption->height, !request->autostart};
    if (begin_adoption(init, &asked, failure)) return -1;
  }
  int error = open_streams(init, &shim.owner, request->in, true, child);
  if (error) return fail(failure, -error, "stdio", "");
  init->spawn = (struct spawn){
      .plan = shim.plan,
      .mountpoint = adoption ? adoption->source : shim.folder,
      .init_pidfd = -1,
      .start_fifo = -1,
      .stdio = {child[0], child[1], child[2]},
      .plan_fds = request->fds.fds,
      .plan_fd_count = request->fds.count,
      .wait = !request->autostart && !adoption,
      .trace = request->trace,
  };
  error = spawn_init(&init->spawn, failure);
  for (int i = 0; i < 3; i++)
    if (child[i] >= 0) close(child[i]);
  if (error) return -1;
  timings_mark(&host_timings, SECTION_CLONE, 0);
  if (init->spawn.pid) {
    init->pid = init->spawn.pid;
    if (run_parent_ops(shim.plan, init->pid, failure)) return -1;
    timings_mark(&host_timings, SECTION_PARENT, 0);
    if (adoption) init->pidfd = (int)syscall(SYS_pidfd_open, init->pid, 0);
    else hold_init();
  }
  watch_status(init);
  return 0;
}

static int run_steps(const struct create_request *request, struct failure *failure) {
  struct process *init = &shim.init;
  init->terminal = request->terminal;
  init->stdin_once = request->stdin_once;
  shim.private_pids = has_private_pids(shim.plan);
  shim.owner = plan_owner(shim.plan);
  timings_start(&host_timings, request->trace);
  if (request->trace) init->timings = &host_timings;
  if (make_folder(request, failure)) return -1;
  int error = keep_teardown();
  if (!error) error = write_task_file(0);
  if (error) return fail(failure, -error, "folder", request->folder);
  if (open_log(request, failure)) return -1;
  timings_mark(&host_timings, SECTION_HOST, TIMINGS_MAX);
  if (run_host_ops(&shim.plan->host, failure, &host_timings)) return -1;
  if (start_init(request, failure)) return -1;
  if ((!shim.cgroups.count || init->adoption) && init->pid) write_task_file(init->pid);
  return 0;
}

void create_task(int socket) {
  struct create_request request = {0};
  struct failure failure = {0};
  struct process *init = &shim.init;
  init->asker = &shim.connections[0];
  init->asker->source.fd = socket;
  init->pidfd = -1;
  int error = read_request(&request);
  if (error) {
    fail(&failure, -error, "request", "");
    give_up(&failure);
  }
  if (run_steps(&request, &failure)) give_up(&failure);
  message_close_fds(&request.fds);
}
