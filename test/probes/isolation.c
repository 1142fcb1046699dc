/* Prints what a container's process can see of its surroundings, one fact a line: "SECTION KEY\tVALUE". What differs from run to run
 * (pids, inode numbers, counters) is left out or is the test's to name. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static FILE *facts;

static void fact(const char *section, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void fact(const char *section, const char *key, const char *format, ...) {
  va_list arguments;
  __builtin_va_start(arguments, format);
  fprintf(facts, "%s %s\t", section, key);
  vfprintf(facts, format, arguments);
  fprintf(facts, "\n");
  __builtin_va_end(arguments);
}

static void print_lines(const char *section, const char *path) {
  char line[8192];
  FILE *file = fopen(path, "r");
  if (!file) return fact(section, path, "%s", strerror(errno));
  for (int number = 0; fgets(line, sizeof line, file); number++) {
    char key[16];
    snprintf(key, sizeof key, "%02d", number);
    line[strcspn(line, "\n")] = 0;
    fact(section, key, "%s", line);
  }
  fclose(file);
}

static void print_value(const char *section, const char *path) {
  char value[4096];
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  ssize_t length = fd < 0 ? -1 : read(fd, value, sizeof value - 1);
  int error = errno;
  if (fd >= 0) close(fd);
  if (length < 0) return fact(section, path, "%s", strerror(error));
  value[length] = 0;
  for (char *at = value; *at; at++)
    if (*at == '\n') *at = at[1] ? ' ' : 0;
  fact(section, path, "%s", value);
}

static void print_status(void) {
  static const char *const volatile_names[] = {"Pid:", "Vm", "Rss", "Hugetlb", "voluntary", "nonvoluntary", "SigQ", "FDSize"};
  char line[4096];
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file)) {
    bool skip = false;
    for (size_t i = 0; i < sizeof volatile_names / sizeof *volatile_names; i++) skip |= !strncmp(line, volatile_names[i], strlen(volatile_names[i]));
    line[strcspn(line, "\n")] = 0;
    char *colon = strchr(line, ':');
    if (skip || !colon) continue;
    *colon = 0;
    fact("status", line, "%s", colon + 2);
  }
  if (file) fclose(file);
}

/* Without ids and device numbers, which differ from mount to mount. */
static void print_mounts(void) {
  char line[8192], root[4096], target[4096], options[1024];
  FILE *file = fopen("/proc/self/mountinfo", "r");
  while (file && fgets(line, sizeof line, file)) {
    int used = 0;
    if (sscanf(line, "%*s %*s %*s %4095s %4095s %1023s %n", root, target, options, &used) != 3) continue;
    line[strcspn(line, "\n")] = 0;
    fact("mount", target, "%s %s %s", root, options, line + used);
  }
  if (file) fclose(file);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void print_tree(const char *folder, int depth) {
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, by_name);
  for (int i = 0; i < count; i++) {
    char path[4096], link[4096] = "";
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    bool dots = !strcmp(entries[i]->d_name, ".") || !strcmp(entries[i]->d_name, "..");
    free(entries[i]);
    if (dots || lstat(path, &info)) continue;
    if (S_ISLNK(info.st_mode) && readlink(path, link, sizeof link - 1) < 0) link[0] = 0;
    fact("dev", path, "%o %u:%u %u:%u %s", info.st_mode, info.st_uid, info.st_gid, major(info.st_rdev), minor(info.st_rdev), link);
    if (S_ISDIR(info.st_mode) && depth) print_tree(path, depth - 1);
  }
  if (count >= 0) free(entries);
}

static void print_sysctls(const char *folder, int depth) {
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, by_name);
  for (int i = 0; i < count; i++) {
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    bool dots = !strcmp(entries[i]->d_name, ".") || !strcmp(entries[i]->d_name, "..");
    free(entries[i]);
    if (dots || lstat(path, &info)) continue;
    if (S_ISDIR(info.st_mode) && depth) print_sysctls(path, depth - 1);
    else if (S_ISREG(info.st_mode)) print_value("sysctl", path);
  }
  if (count >= 0) free(entries);
}

/* What reading, writing and listing say. */
static void print_access(void) {
  static const char *const paths[] = {
      "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/interrupts", "/proc/irq", "/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/kmsg", "/proc/latency_stats",
      "/proc/sched_debug", "/proc/scsi", "/proc/sys", "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/timer_list",
      "/proc/timer_stats", "/proc/1/environ", "/proc/1/mem", "/proc/self/oom_score_adj", "/sys", "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/fs/cgroup", "/sys/kernel/debug",
      "/sys/kernel/security", "/sys/power/state", "/dev/mem", "/dev/kmsg", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/tty", "/", "/etc/hostname"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    struct stat info = {0};
    int found = stat(paths[i], &info) ? errno : 0;
    int reads = open(paths[i], O_RDONLY | O_NONBLOCK | O_NOCTTY), read_error = reads < 0 ? errno : 0;
    char byte;
    ssize_t got = reads < 0 || S_ISDIR(info.st_mode) || S_ISCHR(info.st_mode) ? 0 : read(reads, &byte, 1);
    /* What writing does to these is known; opening is asked. */
    bool is_folder = !found && S_ISDIR(info.st_mode);
    int writes = is_folder ? -1 : open(paths[i], O_WRONLY | O_NONBLOCK | O_NOCTTY), write_error = is_folder ? EISDIR : writes < 0 ? errno : 0;
    int entries = 0;
    DIR *dir = S_ISDIR(info.st_mode) ? opendir(paths[i]) : NULL;
    while (dir && readdir(dir)) entries++;
    if (dir) closedir(dir);
    fact("access", paths[i], "stat=%d mode=%o read=%d bytes=%zd write=%d empty=%d", found, info.st_mode, read_error, got, write_error, dir ? entries == 2 : -1);
    if (reads >= 0) close(reads);
    if (writes >= 0) close(writes);
  }
}

static void print_namespaces(void) {
  static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64], link[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
    ssize_t length = readlink(path, link, sizeof link - 1);
    link[length < 0 ? 0 : length] = 0;
    fact("namespace", names[i], "%s", link);
  }
}

static void print_fds(void) {
  for (int fd = 0; fd < 1024; fd++) {
    char path[64], link[4096], key[16];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0 || (facts != stdout && fd == fileno(facts))) continue;
    link[length] = 0;
    snprintf(key, sizeof key, "%d", fd);
    fact("fd", key, "%s flags=%o", link, fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
  }
}

static void print_keyrings(void) {
  static const struct {
    const char *name;
    int id;
  } rings[] = {{"thread", KEY_SPEC_THREAD_KEYRING}, {"process", KEY_SPEC_PROCESS_KEYRING}, {"session", KEY_SPEC_SESSION_KEYRING}, {"user", KEY_SPEC_USER_KEYRING}};
  for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
    char text[1024] = "";
    long length = syscall(SYS_keyctl, KEYCTL_DESCRIBE, rings[i].id, text, sizeof text - 1);
    fact("keyring", rings[i].name, "%s", length < 0 ? strerror(errno) : text);
  }
}

static void print_session(void) {
  struct winsize size;
  int terminal = open("/dev/tty", O_RDWR);
  fact("session", "leader", "%d", getsid(0) == getpid());
  fact("session", "group leader", "%d", getpgrp() == getpid());
  fact("session", "/dev/tty", "%s", terminal < 0 ? strerror(errno) : "opens");
  fact("session", "foreground", "%d", terminal < 0 ? -1 : tcgetpgrp(terminal) == getpgrp());
  for (int fd = 0; fd < 3; fd++) fact("session", fd == 0 ? "stdin" : fd == 1 ? "stdout" : "stderr", "tty=%d size=%d", isatty(fd), ioctl(fd, TIOCGWINSZ, &size) ? -errno : size.ws_col);
  struct termios termios;
  if (!tcgetattr(0, &termios)) fact("session", "termios", "%o %o %o %o", termios.c_iflag, termios.c_oflag, termios.c_cflag, termios.c_lflag);
}

static void print_signals(void) {
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) || action.sa_handler == SIG_DFL) continue;
    char key[16];
    snprintf(key, sizeof key, "%d", number);
    fact("signal", key, "%s", action.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
}

static void print_process(void) {
  struct utsname name;
  char folder[4096];
  int subreaper = -1, death = -1;
  struct sched_param parameters = {0};
  uname(&name);
  prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
  prctl(PR_GET_PDEATHSIG, &death);
  sched_getparam(0, &parameters);
  fact("process", "pid", "%d", getpid());
  fact("process", "parent", "%d", getppid());
  fact("process", "cwd", "%s", getcwd(folder, sizeof folder) ? folder : strerror(errno));
  fact("process", "hostname", "%s", name.nodename);
  fact("process", "domainname", "%s", name.domainname);
  fact("process", "personality", "%x", personality(0xffffffff));
  fact("process", "securebits", "%x", prctl(PR_GET_SECUREBITS));
  fact("process", "keepcaps", "%d", prctl(PR_GET_KEEPCAPS));
  fact("process", "dumpable", "%d", prctl(PR_GET_DUMPABLE));
  fact("process", "subreaper", "%d", subreaper);
  fact("process", "death signal", "%d", death);
  fact("process", "timer slack", "%d", prctl(PR_GET_TIMERSLACK));
  fact("process", "thp disabled", "%d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  fact("process", "niceness", "%d", getpriority(PRIO_PROCESS, 0));
  fact("process", "scheduler", "%d %d", sched_getscheduler(0), parameters.sched_priority);
  fact("process", "io priority", "%ld", syscall(SYS_ioprio_get, 1, 0));
  static const char *const files[] = {"/proc/self/oom_score_adj", "/proc/self/loginuid", "/proc/self/sessionid", "/proc/self/coredump_filter", "/proc/self/setgroups", "/proc/self/uid_map",
                                      "/proc/self/gid_map",       "/proc/self/projid_map", "/proc/self/timens_offsets", "/proc/self/attr/current", "/proc/self/cmdline", "/proc/self/comm"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) print_value("process", files[i]);
}

/* To a file named, or to stdout. */
int main(int argc, char **argv) {
  facts = argc > 1 ? fopen(argv[1], "w") : stdout;
  if (!facts) return 1;
  print_fds();
  print_signals();
  print_process();
  print_status();
  print_lines("limit", "/proc/self/limits");
  print_lines("cgroup", "/proc/self/cgroup");
  print_namespaces();
  print_mounts();
  print_access();
  print_tree("/dev", 2);
  static const char *const sysctls[] = {"/proc/sys/net", "/proc/sys/fs/mqueue", "/proc/sys/user"};
  for (size_t i = 0; i < sizeof sysctls / sizeof *sysctls; i++) print_sysctls(sysctls[i], 4);
  static const char *const kernel[] = {"hostname", "domainname", "msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "ostype", "core_pattern", "yama/ptrace_scope"};
  for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++) {
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", kernel[i]);
    print_value("sysctl", path);
  }
  print_keyrings();
  print_session();
  for (char **variable = environ; *variable; variable++) fact("environment", "", "%s", *variable);
  return fclose(facts) ? 1 : 0;
}
