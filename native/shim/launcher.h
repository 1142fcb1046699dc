/* The launcher: the small process that shims are forked from. It outlives daemons.
 *
 *   u8 type, u32 serial, then
 *   HELLO                    answer OK, u32 protocol version, u32 pid
 *   FORK, fd of a socket     makes a shim that serves it; no answer but on that socket
 *   PUT string name, fds     keeps up to MESSAGE_FDS_MAX fds under the name, instead of what was there
 *   GET string name          answer OK with the fds, or FAILED u32 errno
 *   DROP string name         closes them
 *   END                      answers OK and ends; shims live on
 */
#ifndef GANTRY_LAUNCHER_H
#define GANTRY_LAUNCHER_H

#define LAUNCHER_VERSION 2

enum launcher_request { LAUNCHER_HELLO = 1, LAUNCHER_FORK, LAUNCHER_PUT, LAUNCHER_GET, LAUNCHER_DROP, LAUNCHER_END };
enum launcher_reply { LAUNCHER_OK = 1, LAUNCHER_FAILED };

/* Runs it in the background; the caller returns 0 once it listens, 0 as well when another one does, else 1. */
int launcher_main(const char *socket_path);

#endif
