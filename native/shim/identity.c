#define _GNU_SOURCE
#include "identity.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE_MAX (4 << 20)
#define FIELDS_MAX 7

enum number { NOT_A_NUMBER, NUMBER, OUT_OF_RANGE };

/* Decimal digits with at most one sign before them, and nothing else. */
static enum number parse_id(const char *text, uint32_t *id) {
  bool negative = text[0] == '-';
  const char *at = text + (text[0] == '-' || text[0] == '+');
  if (!*at) return NOT_A_NUMBER;
  uint64_t value = 0;
  for (; *at; at++) {
    if (*at < '0' || *at > '9') return NOT_A_NUMBER;
    value = value * 10 + (uint64_t)(*at - '0');
    /* Beyond 64 bits Docker takes it for a name. */
    if (value > INT64_MAX / 10 - 10) return NOT_A_NUMBER;
  }
  if (value > ID_MAX || (negative && value)) return OUT_OF_RANGE;
  *id = (uint32_t)value;
  return NUMBER;
}

/* ---- the databases ---- */

struct database {
  char *text;
  size_t size, mapped;
  size_t at;
};

/* A missing file is an empty one. Only a regular file of a sensible size is read. */
static int database_open(int root, const char *path, struct database *db) {
  *db = (struct database){0};
  int fd = root_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
  struct stat info;
  int error = fstat(fd, &info) ? -errno : !S_ISREG(info.st_mode) ? -EINVAL : info.st_size > DATABASE_MAX ? -EFBIG : 0;
  if (!error && info.st_size > 0) {
    db->mapped = (size_t)info.st_size + 1;
    db->text = mmap(NULL, db->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (db->text == MAP_FAILED) error = -errno;
    ssize_t got = 0;
    while (!error && db->size < db->mapped - 1 && (got = read(fd, db->text + db->size, db->mapped - 1 - db->size)) > 0) db->size += (size_t)got;
    if (got < 0) error = -errno;
  }
  close(fd);
  return error;
}

static void database_close(struct database *db) {
  if (db->text && db->text != MAP_FAILED) munmap(db->text, db->mapped);
}

/* The next line's fields, split at ":", in place; missing ones are "". False at the end. */
static bool next_entry(struct database *db, char *fields[FIELDS_MAX]) {
  while (db->at < db->size) {
    char *line = db->text + db->at;
    char *end = memchr(line, '\n', db->size - db->at);
    db->at = end ? (size_t)(end - db->text) + 1 : db->size;
    if (end) *end = 0;
    line += strspn(line, " \t\r");
    size_t length = strlen(line);
    while (length && strchr(" \t\r", line[length - 1])) line[--length] = 0;
    if (!length) continue;
    for (int i = 0; i < FIELDS_MAX; i++) {
      fields[i] = line;
      char *colon = strchr(line, ':');
      if (colon) *colon = 0;
      line = colon ? colon + 1 : line + strlen(line);
    }
    return true;
  }
  return false;
}

/* ---- users ---- */

static void set_home(struct identity *identity, const char *home) {
  size_t length = strnlen(home, sizeof identity->home - 1);
  memcpy(identity->home, home, length);
  identity->home[length] = 0;
}

struct user_query {
  /* "" : by number. */
  const char *name;
  uint32_t uid;
  char matched[256];
};

/* The first entry that fits; 1 when there is one, 0 when not. */
static int find_user(struct failure *failure, int root, struct user_query *query, struct identity *identity) {
  struct database db;
  int error = database_open(root, "etc/passwd", &db);
  int found = 0;
  char *fields[FIELDS_MAX];
  while (!error && !found && next_entry(&db, fields)) {
    uint32_t uid, gid;
    if (parse_id(fields[2], &uid) != NUMBER || parse_id(fields[3], &gid) != NUMBER) continue;
    if (query->name[0] ? strcmp(fields[0], query->name) : uid != query->uid) continue;
    identity->uid = uid;
    identity->gid = gid;
    set_home(identity, fields[5]);
    strncpy(query->matched, fields[0], sizeof query->matched - 1);
    found = 1;
  }
  database_close(&db);
  return error ? fail(failure, -error, "user", "/etc/passwd") : found;
}

static bool listed(const char *members, const char *name) {
  size_t length = strlen(name);
  while (*members) {
    size_t end = strcspn(members, ",");
    if (end == length && !memcmp(members, name, length)) return true;
    members += end + (members[end] == ',');
  }
  return false;
}

static int add_group(struct failure *failure, struct identity *identity, gid_t gid) {
  if (identity->group_count == GROUPS_MAX) return fail(failure, E2BIG, "group", "");
  identity->groups[identity->group_count++] = gid;
  return 0;
}

/* All groups that list `name` as a member. */
static int add_memberships(struct failure *failure, int root, const char *name, struct identity *identity) {
  struct database db;
  int error = database_open(root, "etc/group", &db);
  if (error) fail(failure, -error, "group", "/etc/group");
  char *fields[FIELDS_MAX];
  while (!error && next_entry(&db, fields)) {
    uint32_t gid;
    if (parse_id(fields[2], &gid) == NUMBER && listed(fields[3], name)) error = add_group(failure, identity, gid);
  }
  database_close(&db);
  return error ? -1 : 0;
}

/* The number of the group that is called, or numbered, `text`. A number needs no entry. */
static int find_group(struct failure *failure, int root, const char *text, gid_t *gid) {
  uint32_t number = 0;
  enum number kind = parse_id(text, &number);
  if (kind == OUT_OF_RANGE) return fail(failure, ERANGE, "group", text);
  if (kind == NUMBER) {
    *gid = number;
    return 0;
  }
  struct database db;
  int error = database_open(root, "etc/group", &db);
  if (error) fail(failure, -error, "group", "/etc/group");
  bool found = false;
  char *fields[FIELDS_MAX];
  while (!error && !found && next_entry(&db, fields)) {
    if (strcmp(fields[0], text) || parse_id(fields[2], &number) != NUMBER) continue;
    *gid = number;
    found = true;
  }
  database_close(&db);
  return error ? -1 : found ? 0 : fail(failure, ENOENT, "group", text);
}

/* "user", "uid", "user:group", ...: Docker's USER. */
static int resolve_spec(struct failure *failure, int root, const char *spec, struct identity *identity) {
  char user[256];
  size_t length = strcspn(spec, ":");
  if (length >= sizeof user) return fail(failure, ENAMETOOLONG, "user", spec);
  memcpy(user, spec, length);
  user[length] = 0;
  const char *group = spec[length] == ':' ? spec + length + 1 : "";

  struct user_query query = {.name = user};
  enum number kind = user[0] ? parse_id(user, &query.uid) : NUMBER;
  if (kind != NOT_A_NUMBER) query.name = "";
  identity->uid = query.uid;
  int found = kind == OUT_OF_RANGE ? 0 : find_user(failure, root, &query, identity);
  if (found < 0) return -1;
  if (!found && kind == NOT_A_NUMBER) return fail(failure, ENOENT, "user", user);
  if (!found && kind == OUT_OF_RANGE) return fail(failure, ERANGE, "user", user);
  if (group[0]) return find_group(failure, root, group, &identity->gid);
  return found ? add_memberships(failure, root, query.matched, identity) : 0;
}

int resolve_identity(struct failure *failure, int root, const struct exec_step *step, struct identity *identity) {
  *identity = (struct identity){.uid = step->uid, .gid = step->gid, .home = "/"};
  if (step->user_spec[0]) {
    /* The primary group is also a supplementary one, as Docker has it (CVE-2022-36109): a file that denies the group stays denied. */
    if (resolve_spec(failure, root, step->user_spec, identity) || add_group(failure, identity, identity->gid)) return -1;
  } else {
    struct user_query query = {.name = "", .uid = step->uid};
    if (find_user(failure, root, &query, identity) < 0) return -1;
    identity->gid = step->gid;
  }
  for (uint32_t i = 0; i < step->gid_count; i++)
    if (add_group(failure, identity, step->gids[i])) return -1;
  for (uint32_t i = 0; i < step->group_specs.count; i++) {
    gid_t gid = 0;
    if (find_group(failure, root, step->group_specs.items[i], &gid) || add_group(failure, identity, gid)) return -1;
  }
  if (!identity->home[0]) set_home(identity, "/");
  return 0;
}
