/* Messages to the front: pieces of u16 length and bytes. Whatever they say, nothing is started, nothing leaks, and what it would start has a
 * name and lists that end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int no_kill(pid_t pid, int number);
#define kill no_kill
#define syscall(...) open("/dev/null", O_RDONLY | O_CLOEXEC)
#include "../front/session.c"
#undef kill
#undef syscall

static size_t touched;

static int no_kill(pid_t pid, int number) {
  if (pid != 12345 || number < 0 || number >= NSIG) abort();
  return 0;
}

int read_exactly(int fd, void *into, size_t length) { return (void)fd, (void)into, (void)length, -1; }

int write_wholly(int fd, const void *bytes, size_t length) {
  if (fd != 1 && fd != 2) abort();
  for (size_t i = 0; i < length; i++) touched += ((const uint8_t *)bytes)[i];
  return 0;
}

pid_t spawn_program(const struct program *program, int *reply) {
  touched += strlen(program->path);
  for (char *const *arg = program->args; *arg; arg++) touched += strlen(*arg);
  for (char *const *variable = program->env; *variable; variable++) touched += strlen(*variable);
  for (size_t i = 0; i < program->input_length; i++) touched += program->input[i];
  *reply = program->input_length % 2 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
  return program->path[0] ? 12345 : -ENOENT;
}

static void end_children(void) {
  for (int i = 0; i < CHILDREN_MAX; i++) {
    struct child *child = &session.children[i];
    if (!child->pid) continue;
    if (child->reply >= 0) close(child->reply);
    if (child->pidfd >= 0) close(child->pidfd);
    child->reply = child->pidfd = -1;
    forget(child);
  }
  stop_forwarding();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  int code = 0;
  session.lost = true;
  session.signals = -1;
  while (size >= 2) {
    size_t length = bytes[0] | (size_t)bytes[1] << 8;
    bytes += 2, size -= 2;
    if (length > size) length = size;
    /* Of its own, so that reading past it is seen. */
    uint8_t *message = malloc(length ? length : 1);
    memcpy(message, bytes, length);
    enum step step = handle_frame(message, length, &code);
    free(message);
    bytes += length, size -= length;
    if (step != STEP_ON) break;
  }
  end_children();
  return 0;
}
