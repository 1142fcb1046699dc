#define _GNU_SOURCE
#include "launcher.h"
#include "oneshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define SEAL_TRIES 20

/* The kernel waits some time for whoever looks at a page of it (reclaim, compaction), and gives up on a machine that is busy enough. */
static int seal(int copy) {
  for (int tries = 0; tries < SEAL_TRIES; tries++)
    if (!fcntl(copy, F_ADD_SEALS, SEALS)) return 0;
    else if (errno != EBUSY) break;
  return -1;
}

/* Runs on as a sealed copy of the program in memory: a container that gets hold of it by /proc/PID/exe cannot change what the
 * host will execute next (CVE-2019-5736). Returns only on failure, or when we are that copy. */
static int run_sealed(char **argv) {
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) return -errno;
  int seals = fcntl(self, F_GET_SEALS);
  if (seals >= 0 && (seals & SEALS) == SEALS) {
    close(self);
    return 0;
  }
  struct stat info;
  int copy = memfd_create("gantry-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (copy < 0 || fstat(self, &info)) return -errno;
  for (off_t left = info.st_size; left > 0;) {
    ssize_t sent = sendfile(copy, self, NULL, (size_t)left);
    if (sent <= 0) return -EIO;
    left -= sent;
  }
  if (fchmod(copy, 0500) || seal(copy)) return -errno;
  char *const environment[] = {NULL};
  syscall(SYS_execveat, copy, "", argv, environment, AT_EMPTY_PATH);
  return -errno;
}

/* In a group that must have a process: until its starter ends it, or has ended. Nothing of a container runs meanwhile. */
static int hold(void) {
  char byte;
  while (read(0, &byte, 1) > 0);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "hold")) return hold();
  int error = run_sealed(argv);
  if (error) {
    dprintf(2, "gantry-shim: cannot run from a sealed copy: %s\n", strerror(-error));
    return 1;
  }
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NAME, "gantry-shim");
  if (argc == 3 && !strcmp(argv[1], "launcher")) return launcher_main(argv[2]);
  if (argc >= 2 && !strcmp(argv[1], "exec-plan")) return oneshot_main(argc - 2, argv + 2);
  dprintf(2, "usage: gantry-shim launcher SOCKET | exec-plan ... | hold\n");
  return 2;
}
