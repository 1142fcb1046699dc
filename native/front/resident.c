/* Finding and starting the resident process.
 *
 *   <folder>/<key>.sock   it listens here; <folder> is /run/gantry-resident for root, else $XDG_RUNTIME_DIR/gantry-resident, mode 0700
 *   <folder>/<key>.lock   locked by it for as long as it lives
 *
 * The key is a hash of this caller's facts and of the installation's files: who differs in any has a resident process of its own, and
 * so has a package that was replaced. GANTRY_RESIDENT=off goes without, GANTRY_RESIDENT=/a/folder uses that one. */
#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 256
#define LISTEN_FD 3
#define LOCK_FD 4
/* A sealed copy of gantry-shim, which fronts execute by /proc/PID/fd/5: it need not make its own (native/shim/main.c). */
#define SHIM_FD 5
/* A resident that is being started answers when Node is up: on a busy machine that takes its time. */
#define HELLO_MILLISECONDS 5000

struct place {
  char folder[PATH_MAX];
  char socket[sizeof((struct sockaddr_un *)0)->sun_path];
  char lock[PATH_MAX];
  char facts[FACTS_SIZE];
};

/* ---- where it is ---- */

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t length) {
  for (const uint8_t *at = bytes; length--; at++) hash = (hash ^ *at) * 0x100000001b3u;
  return hash;
}

static bool mix_file(uint64_t hashes[2], const char *name) {
  char path[PATH_MAX];
  struct stat info;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", package_folder, name) >= sizeof path || stat(path, &info)) return false;
  uint64_t identity[] = {info.st_dev, info.st_ino, (uint64_t)info.st_size, (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec};
  for (int i = 0; i < 2; i++) hashes[i] = mix(mix(hashes[i], path, strlen(path)), identity, sizeof identity);
  return true;
}

static bool find_folder(char folder[PATH_MAX]) {
  const char *asked = getenv("GANTRY_RESIDENT"), *runtime = getenv("XDG_RUNTIME_DIR");
  int length = -1;
  if (asked && asked[0] == '/') length = snprintf(folder, PATH_MAX, "%s", asked);
  else if (asked && asked[0]) return false;
  else if (!geteuid()) length = snprintf(folder, PATH_MAX, "/run/gantry-resident");
  else if (runtime && runtime[0] == '/') length = snprintf(folder, PATH_MAX, "%s/gantry-resident", runtime);
  if (length < 0 || length >= PATH_MAX || (mkdir(folder, 0700) && errno != EEXIST)) return false;
  struct stat info;
  return !lstat(folder, &info) && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && !(info.st_mode & 077);
}

static bool find_place(struct place *place) {
  uint64_t hashes[] = {0xcbf29ce484222325u, 0x84222325cbf29ce4u};
  if (!find_folder(place->folder) || !read_facts("/proc/self", place->facts)) return false;
  for (int i = 0; i < 2; i++) hashes[i] = mix(hashes[i], place->facts, strlen(place->facts));
  if (!mix_file(hashes, "dist/gantry-resident.js") || !mix_file(hashes, "build/native/gantry-shim") || !mix_file(hashes, "build/native/gantry.node")) return false;
  char key[33];
  snprintf(key, sizeof key, "%016llx%016llx", (unsigned long long)hashes[0], (unsigned long long)hashes[1]);
  return (size_t)snprintf(place->socket, sizeof place->socket, "%s/%s.sock", place->folder, key) < sizeof place->socket &&
         (size_t)snprintf(place->lock, sizeof place->lock, "%s/%s.lock", place->folder, key) < sizeof place->lock;
}

static struct sockaddr_un address_of(const struct place *place) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, place->socket);
  return address;
}

/* ---- starting it ---- */

static int listen_there(const struct place *place) {
  struct sockaddr_un address = address_of(place);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  unlink(place->socket);
  mode_t before = umask(0177);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (!error && !listen(fd, BACKLOG)) return fd;
  close(fd);
  return -1;
}

/* Out of the caller's groups, which must not stay busy for its sake; where that is not allowed it stays in them. */
static void leave_cgroups(void) {
  FILE *mounts = fopen("/proc/self/mountinfo", "re");
  char line[8192], path[PATH_MAX];
  while (mounts && fgets(line, sizeof line, mounts)) {
    char mountpoint[4096];
    if ((!strstr(line, " - cgroup ") && !strstr(line, " - cgroup2 ")) || sscanf(line, "%*s %*s %*s %*s %4095s", mountpoint) != 1) continue;
    if ((size_t)snprintf(path, sizeof path, "%s/cgroup.procs", mountpoint) >= sizeof path) continue;
    int procs = open(path, O_WRONLY | O_CLOEXEC);
    if (procs >= 0 && write(procs, "0", 1) < 0) errno = 0;
    if (procs >= 0) close(procs);
  }
  if (mounts) fclose(mounts);
}

/* What is the caller's own, and not what its next callers shall meet. */
static void be_nobodys(void) {
  setsid();
  if (chdir("/")) errno = 0;
  leave_cgroups();
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0 && write(score, "0", 1) < 0) errno = 0;
  if (score >= 0) close(score);
  struct sched_param normal = {0};
  sched_setscheduler(0, SCHED_OTHER, &normal);
  /* It works for many callers at a time, who would each have had their share of a busy machine. */
  if (setpriority(PRIO_PROCESS, 0, -10)) setpriority(PRIO_PROCESS, 0, 0);
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  sched_setaffinity(0, sizeof all, &all);
  struct rlimit files;
  if (!getrlimit(RLIMIT_NOFILE, &files)) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* -1: none; each shim makes its own. */
static int sealed_shim(void) {
  char path[PATH_MAX + 32];
  struct stat info;
  snprintf(path, sizeof path, "%s/build/native/gantry-shim", package_folder);
  int file = open(path, O_RDONLY | O_CLOEXEC), copy = memfd_create("gantry-shim", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  bool bad = file < 0 || copy < 0 || fstat(file, &info);
  for (off_t left = bad ? 0 : info.st_size; !bad && left > 0;) {
    ssize_t sent = sendfile(copy, file, NULL, (size_t)left);
    bad = sent <= 0;
    left -= sent;
  }
  bad = bad || fchmod(copy, 0500) || fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  if (file >= 0) close(file);
  if (bad && copy >= 0) close(copy);
  return bad ? -1 : copy;
}

__attribute__((noreturn)) static void become_resident(const struct place *place, int listener, int lock) {
  int nothing = open("/dev/null", O_RDWR), shim = sealed_shim();
  /* Above the places first, so that none overwrites another. */
  int high[] = {fcntl(nothing, F_DUPFD, 16), fcntl(listener, F_DUPFD, 16), fcntl(lock, F_DUPFD, 16), fcntl(shim, F_DUPFD, 16)};
  for (int fd = 0; fd < 3; fd++) dup2(high[0], fd);
  dup2(high[1], LISTEN_FD);
  dup2(high[2], LOCK_FD);
  if (high[3] < 0) close(SHIM_FD);
  else dup2(high[3], SHIM_FD);
  close_range(SHIM_FD + 1, ~0u, 0);
  be_nobodys();
  char node[PATH_MAX + 16], program[PATH_MAX + 32];
  snprintf(node, sizeof node, "%s/build/node", package_folder);
  snprintf(program, sizeof program, "%s/dist/gantry-resident.js", package_folder);
  /* What a burst of commands leaves is garbage: a young generation that grows with it would stay. */
  char *const argv[] = {node, "--max-semi-space-size=4", "--", program, (char *)place->socket, NULL};
  char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  execve(node, argv, environment);
  _exit(127);
}

/* One of several that start at once has the lock; the others find its socket. */
static void start(const struct place *place) {
  int lock = open(place->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return;
  int listener = flock(lock, LOCK_EX | LOCK_NB) ? -1 : listen_there(place);
  pid_t pid = listener < 0 ? -1 : fork();
  if (pid == 0) {
    if (fork() == 0) become_resident(place, listener, lock);
    _exit(0);
  }
  if (pid > 0) while (waitpid(pid, NULL, 0) < 0 && errno == EINTR);
  if (listener >= 0) close(listener);
  close(lock);
}

/* ---- connecting ---- */

static int connect_there(const struct place *place) {
  struct sockaddr_un address = address_of(place);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* A full queue counts as nobody. */
  if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
  close(fd);
  return -1;
}

/* The credentials are those of the caller that made the socket. A process of our own user could also write to our state folders. */
static bool is_trusted(int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return !getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid();
}

static bool hears_hello(int socket) {
  struct pollfd ready = {.fd = socket, .events = POLLIN};
  uint8_t hello[9];
  static const uint8_t expected[9] = {5, 0, 0, 0, FRONT_HELLO, FRONT_VERSION};
  int got;
  while ((got = poll(&ready, 1, HELLO_MILLISECONDS)) < 0 && errno == EINTR);
  if (got <= 0 || fcntl(socket, F_SETFL, 0)) return false;
  return !read_exactly(socket, hello, sizeof hello) && !memcmp(hello, expected, sizeof expected);
}

int connect_resident(void) {
  static struct place place;
  if (!find_place(&place)) return -1;
  int socket = connect_there(&place);
  if (socket < 0) {
    start(&place);
    socket = connect_there(&place);
  }
  if (socket < 0) return -1;
  if (is_trusted(socket) && hears_hello(socket)) return socket;
  close(socket);
  return -1;
}
