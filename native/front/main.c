#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char package_folder[PATH_MAX];

/* PACKAGE/build/native/gantry-runtime */
static bool find_package(void) {
  ssize_t length = readlink("/proc/self/exe", package_folder, sizeof package_folder - 1);
  for (int levels = 0; levels < 3; levels++) {
    while (length > 0 && package_folder[length - 1] != '/') length--;
    if (length <= 0) return false;
    package_folder[--length] = 0;
  }
  return true;
}

/* Streams that the caller closed would become something else. */
static void fill_streams(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(1);
}

/* The same program on Node, with the flags of scripts/launch. */
static int run_on_node(int argc, char **argv, char **environment) {
  char node[PATH_MAX + 16], program[PATH_MAX + 32];
  snprintf(node, sizeof node, "%s/build/node", package_folder);
  snprintf(program, sizeof program, "%s/dist/gantry-runtime.js", package_folder);
  char **line = calloc((size_t)argc + 6, sizeof *line);
  if (!line) return ENOMEM;
  size_t count = 0;
  line[count++] = node;
  line[count++] = "--min-semi-space-size=64";
  line[count++] = "--no-rehash-snapshot";
  line[count++] = "--";
  line[count++] = program;
  for (int i = 1; i < argc; i++) line[count++] = argv[i];
  execve(node, line, environment);
  return errno;
}

int main(int argc, char **argv, char **environment) {
  fill_streams();
  if (argc < 1 || !find_package()) {
    dprintf(2, "gantry-runtime: cannot tell where it is installed: is /proc mounted?\n");
    return 1;
  }
  /* Messages have the name that we were called by, so that who calls us "runc" reads of runc. */
  const char *slash = strrchr(argv[0], '/');
  if (setenv("GANTRY_PROGRAM", slash ? slash + 1 : argv[0], 0)) return ENOMEM;
  environment = environ;
  signal(SIGCHLD, SIG_DFL);
  /* A resident that ends is noticed by what it does not say any more. */
  signal(SIGPIPE, SIG_IGN);
  int socket = connect_resident(), code = 1;
  enum session session = socket < 0 ? SESSION_DIRECT : run_session(socket, argv + 1, environment, &code);
  if (session == SESSION_EXIT) return code;
  if (session == SESSION_LOST) {
    dprintf(2, "gantry-runtime: the resident process ended in the middle of the command; `gantry-runtime delete --force` removes what it left\n");
    return 1;
  }
  if (socket >= 0) close(socket);
  int error = run_on_node(argc, argv, environment);
  dprintf(2, "gantry-runtime: %s/build/node: %s; call PACKAGE/bin/gantry-runtime once, which sets its package up, and this program there or by a link\n", package_folder, strerror(error));
  return 1;
}
