/* User namespaces that no process is in: a descriptor keeps them. */
#ifndef GANTRY_USERNS_H
#define GANTRY_USERNS_H

/* A user namespace with these maps (lines of /proc/PID/uid_map), or with `network` a network namespace that such a one owns:
 * its descriptor, or -1 with errno. */
int userns_make(const char *uid_map, const char *gid_map, int network);

/* A network namespace that the user namespace owns: its descriptor, or -1 with errno. */
int userns_network(int userns);

/* A clone of the mount at `path`, which shows it with the ids of the namespace and is attached nowhere; -1 with errno. */
int userns_mapped(int userns, const char *path);

#endif
