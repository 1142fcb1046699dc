#define _GNU_SOURCE
#include "front.h"
#include "../shim/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/stat.h>
#include <unistd.h>

/* src/oci/resident/facts.ts has the same lists. */
static const char *const lines[] = {"Umask:", "Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:"};
static const char *const namespaces[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};

struct text {
  char *at, *end;
};

static bool add(struct text *text, const char *bytes, size_t length) {
  if ((size_t)(text->end - text->at) <= length) return false;
  memcpy(text->at, bytes, length);
  text->at += length;
  *text->at = 0;
  return true;
}

static const char *find_line(const char *status, const char *name) {
  size_t length = strlen(name);
  for (const char *line = status; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
    if (!strncmp(line, name, length)) return line;
  return NULL;
}

static bool add_status(struct text *text, const char *proc) {
  char path[64], status[8192];
  snprintf(path, sizeof path, "%s/status", proc);
  if (read_file(path, status, sizeof status) < 0) return false;
  const char *seccomp = find_line(status, "Seccomp:");
  if (seccomp && strncmp(seccomp, "Seccomp:\t0\n", 11)) return false;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    const char *line = find_line(status, lines[i]);
    if (line && !add(text, line, strcspn(line, "\n") + 1)) return false;
  }
  return true;
}

static bool add_namespaces(struct text *text, const char *proc) {
  for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
    char path[64], link[64];
    snprintf(path, sizeof path, "%s/ns/%s", proc, namespaces[i]);
    /* A kernel may be without some kind. */
    ssize_t length = readlink(path, link, sizeof link);
    if (length > 0 && !add(text, link, (size_t)length)) return false;
  }
  return true;
}

static bool add_root(struct text *text, const char *proc) {
  char path[64], root[96];
  struct statx info;
  snprintf(path, sizeof path, "%s/root/", proc);
  if (syscall(SYS_statx, AT_FDCWD, path, 0, STATX_INO | STATX_MNT_ID, &info)) return false;
  int length = snprintf(root, sizeof root, "\n%llu %llu %u:%u\n", (unsigned long long)info.stx_mnt_id, (unsigned long long)info.stx_ino, info.stx_dev_major, info.stx_dev_minor);
  return add(text, root, (size_t)length);
}

/* Of AppArmor or SELinux; without one it cannot be read. */
static bool add_label(struct text *text, const char *proc) {
  char path[64], label[1024];
  snprintf(path, sizeof path, "%s/attr/current", proc);
  ssize_t length = read_file(path, label, sizeof label);
  return length <= 0 || add(text, label, (size_t)length);
}

bool read_facts(const char *proc, char facts[FACTS_SIZE]) {
  struct text text = {facts, facts + FACTS_SIZE};
  return add_status(&text, proc) && add_namespaces(&text, proc) && add_root(&text, proc) && add_label(&text, proc);
}
