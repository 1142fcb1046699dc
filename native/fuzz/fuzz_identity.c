/* /etc/passwd and /etc/group of an untrusted root: u8 length of the user text, the text, u16 length of passwd, passwd, group.
 * What is accepted is in range; the text "7:8" is always exactly that. */
#define _GNU_SOURCE
#include "../shim/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int root = -1;

static void make_root(void) {
  char path[] = "/tmp/gantry-fuzz-XXXXXX";
  if (root >= 0) return;
  if (!mkdtemp(path) || (root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(root, "etc", 0700)) abort();
}

static void write_database(const char *name, const uint8_t *bytes, size_t size) {
  int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) abort();
  close(fd);
}

static void check(const char *spec) {
  static struct identity identity;
  struct failure failure = {0};
  struct exec_step step = {.user_spec = spec};
  if (resolve_identity(&failure, root, &step, &identity)) return;
  if (identity.uid > ID_MAX || identity.gid > ID_MAX || identity.group_count > GROUPS_MAX || !identity.home[0]) abort();
  if (!strcmp(spec, "7:8") && (identity.uid != 7 || identity.gid != 8)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  char spec[256] = "";
  make_root();
  if (size < 4) return 0;
  size_t length = bytes[0];
  if (length > size - 3) length = size - 3;
  memcpy(spec, bytes + 1, length);
  bytes += 1 + length, size -= 1 + length;
  size_t passwd = bytes[0] | (size_t)bytes[1] << 8;
  bytes += 2, size -= 2;
  if (passwd > size) passwd = size;
  write_database("etc/passwd", bytes, passwd);
  write_database("etc/group", bytes + passwd, size - passwd);
  check(spec);
  check("7:8");
  return 0;
}

__attribute__((destructor)) static void clean_up(void) {
  if (root < 0) return;
  unlinkat(root, "etc/passwd", 0);
  unlinkat(root, "etc/group", 0);
  unlinkat(root, "etc", AT_REMOVEDIR);
  char link[64], path[256];
  snprintf(link, sizeof link, "/proc/self/fd/%d", root);
  ssize_t got = readlink(link, path, sizeof path - 1);
  if (got > 0) path[got] = 0, rmdir(path);
}
