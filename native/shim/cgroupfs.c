#define _GNU_SOURCE
#include "mounting.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int new_hierarchy(struct context *c, const struct hierarchy *hierarchy, const struct op *op) {
  bool unified = !hierarchy->controllers[0];
  int fs = fsopen(unified ? "cgroup2" : "cgroup", FSOPEN_CLOEXEC);
  if (fs < 0) return fail_errno(&c->failure, "fsopen", "cgroup");
  int error = config_string(fs, "source", "cgroup");
  char names[256];
  snprintf(names, sizeof names, "%s", hierarchy->controllers);
  char *rest = names;
  for (char *name; !error && (name = strsep(&rest, ",")) && *name;) {
    if (!strncmp(name, "name=", 5)) error = fsconfig(fs, FSCONFIG_SET_FLAG, "none", NULL, 0) || config_string(fs, "name", name + 5);
    else error = fsconfig(fs, FSCONFIG_SET_FLAG, name, NULL, 0);
  }
  int mount = -1;
  if (error || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) fail_errno(&c->failure, "cgroup", hierarchy->name);
  else if ((mount = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)op->attributes.set)) < 0) fail_errno(&c->failure, "fsmount", hierarchy->name);
  close(fs);
  return mount;
}

static int open_hierarchy(struct context *c, const struct hierarchy *hierarchy, const struct op *op) {
  if (!hierarchy->host_path[0]) return new_hierarchy(c, hierarchy, op);
  int tree = open_bind(c, hierarchy->host_path, false);
  if (tree >= 0 && set_attributes(c, tree, &op->attributes, hierarchy->name)) {
    close(tree);
    return -1;
  }
  return tree;
}

static int mount_hierarchy(struct context *c, const struct hierarchy *hierarchy, const struct op *op) {
  char path[4096];
  snprintf(path, sizeof path, op->unified ? "%s" : "%s/%s", op->target, hierarchy->name);
  int mount = open_hierarchy(c, hierarchy, op);
  if (mount < 0) return -1;
  int error = attach_mount(c, mount, path, CREATE_DIR, 0755);
  close(mount);
  return error;
}

static int link_hierarchy(struct context *c, const struct hierarchy *hierarchy, const struct op *op) {
  for (uint32_t i = 0; i < hierarchy->links.count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", op->target, hierarchy->links.items[i]);
    struct op link = {.target = path, .to = hierarchy->name};
    if (run_symlink(c, &link)) return -1;
  }
  return 0;
}

static int cgroup_tmpfs(struct context *c, const struct op *op) {
  struct option mode = {"mode", "755"};
  struct op tmpfs = {.fstype = "tmpfs", .source = "tmpfs", .target = op->target, .options = &mode, .option_count = 1, .create = CREATE_DIR, .mode = 0755};
  tmpfs.attributes.set = NOSUID_NODEV_NOEXEC;
  return run_mount(c, &tmpfs);
}

int run_cgroup_mount(struct context *c, const struct op *op) {
  if (!op->unified && cgroup_tmpfs(c, op)) return -1;
  for (uint32_t i = 0; i < op->hierarchy_count; i++)
    if (mount_hierarchy(c, &op->hierarchies[i], op) || (!op->unified && link_hierarchy(c, &op->hierarchies[i], op))) return -1;
  if (op->unified || !op->readonly) return 0;
  struct attributes readonly = {.set = MOUNT_ATTR_RDONLY};
  return change_mount_at(c, op->target, &readonly);
}
