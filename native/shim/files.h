/* Small files of the host: cgroups, proc, the task's own folder. All return 0 (or a length) or -errno. */
#ifndef GANTRY_FILES_H
#define GANTRY_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* Writes to an existing file in one call. */
int write_file(const char *path, const char *text);
/* Reads at most size - 1 bytes and ends them with a 0. */
ssize_t read_file(const char *path, char *into, size_t size);
/* A number of /proc/PID/stat, by its place in proc_pid_stat(5); 0 when the process is gone. */
unsigned long long process_stat(pid_t pid, int field);
/* mkdir -p. */
int make_directories(const char *path, mode_t mode);
/* Closes every fd from 3 on but the `count` in `keep`, which gets sorted; -1 in it is left out. */
void close_all_but(int *keep, size_t count);

#endif
