/* gantry-runtime's command line: a small program that hands its call to a resident process (src/oci/resident) and does what must be
 * done by the caller's own child: starting processes and writing to its streams. It decides nothing; when there is no resident
 * process for it, it becomes the same program on Node.
 *
 * A stream socket; each message is u32 length of what follows, u8 type, fields as in wire.h.
 *
 *   front                          resident
 *    │ ◀── HELLO ──────────────────── │ at once: it is alive, and serves this caller
 *    │ ── REQUEST ──────────────────▶ │ from here on the call is the resident's
 *    │ ◀── DIRECT ─────────────────── │ instead of all that follows: nothing was done, do it yourself
 *    │ ◀── OUTPUT, SPAWN, SIGNAL ──── │ any number
 *    │ ── FAILED or REPLY, ENDED ───▶ │ for each SPAWN
 *    │ ◀── EXIT ───────────────────── │
 */
#ifndef GANTRY_FRONT_H
#define GANTRY_FRONT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRONT_VERSION 1
#define REQUEST_MAX (1u << 20)
#define FRAME_MAX (64u << 20)
#define CHILDREN_MAX 4
#define REPLY_MAX 65536

enum to_front { FRONT_HELLO = 1, FRONT_DIRECT, FRONT_OUTPUT, FRONT_SPAWN, FRONT_SIGNAL, FRONT_EXIT };
enum to_resident { RESIDENT_REQUEST = 1, RESIDENT_FAILED, RESIDENT_REPLY, RESIDENT_ENDED };

/* plan: `input` at fd 3, a pipe for the reply at fd 4. hook: `input` at stdin, nothing at stdout. */
enum spawn_kind { SPAWN_PLAN, SPAWN_HOOK };

/* Where this program is installed: the package's folder, without a slash at the end. */
extern char package_folder[PATH_MAX];

/* ---- facts.c ---- */

#define FACTS_SIZE 4096

/* What a process must have in common with another that does things for it: user, groups, rights, umask, namespaces, root.
 * `proc`: "/proc/self" or of another. False: not to be had, or it is under a seccomp filter. */
bool read_facts(const char *proc, char facts[FACTS_SIZE]);

/* ---- resident.c ---- */

/* A connection to this caller's resident process, started when there is none, after its HELLO; or -1. */
int connect_resident(void);

/* ---- spawn.c ---- */

struct program {
  enum spawn_kind kind;
  const char *path;
  char *const *args, *const *env;
  const uint8_t *input;
  size_t input_length;
};

/* The child's pid, or -errno; `reply`: the pipe's end to read, or -1. */
pid_t spawn_program(const struct program *program, int *reply);

/* ---- session.c ---- */

enum session { SESSION_DIRECT, SESSION_EXIT, SESSION_LOST };

/* Sends the request and serves the resident until the end; `code` with SESSION_EXIT. */
enum session run_session(int socket, char **argv, char **environment, int *code);

/* ---- frames.c ---- */

int read_exactly(int fd, void *into, size_t length);
int write_wholly(int fd, const void *bytes, size_t length);

#endif
