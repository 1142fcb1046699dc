#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_FD 3
#define REPLY_FD 4

static int input_file(const struct program *program) {
  int fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (!write_wholly(fd, program->input, program->input_length) && !lseek(fd, 0, SEEK_SET)) return fd;
  close(fd);
  return -1;
}

static int put_at(int fd, int place) {
  return fd == place ? fcntl(fd, F_SETFD, 0) : dup2(fd, place) < 0 ? -1 : 0;
}

static int place_streams(enum spawn_kind kind, int input, int reply) {
  if (kind == SPAWN_PLAN) return put_at(input, INPUT_FD) || put_at(reply, REPLY_FD) ? -1 : 0;
  int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  return nothing < 0 || put_at(input, 0) || put_at(nothing, 1) ? -1 : 0;
}

__attribute__((noreturn)) static void child_main(const struct program *program, int input, int reply, int errors) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (!place_streams(program->kind, input, reply)) execve(program->path, program->args, program->env);
  int error = errno;
  if (write(errors, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

/* Above the places that the child will put things at. */
static int lift(int fd) {
  if (fd < 0 || fd > REPLY_FD) return fd;
  int lifted = fcntl(fd, F_DUPFD_CLOEXEC, REPLY_FD + 1);
  close(fd);
  return lifted;
}

static int lifted_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC)) return -1;
  ends[0] = lift(ends[0]);
  ends[1] = lift(ends[1]);
  return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

static void close_pipe(int ends[2]) {
  for (int i = 0; i < 2; i++)
    if (ends[i] >= 0) close(ends[i]);
}

/* Waits for execve, which closes the other end, or for the errno. */
static int execution_error(pid_t pid, int errors) {
  int error = 0;
  if (read_exactly(errors, &error, sizeof error)) return 0;
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR);
  return error;
}

static pid_t fork_program(const struct program *program, int input, int replies[2], int errors[2]) {
  if (input < 0 || lifted_pipe(errors) || (program->kind == SPAWN_PLAN && lifted_pipe(replies))) return -errno;
  pid_t pid = fork();
  if (pid == 0) child_main(program, input, replies[1], errors[1]);
  if (pid < 0) return -errno;
  close(errors[1]);
  errors[1] = -1;
  int error = execution_error(pid, errors[0]);
  return error ? -error : pid;
}

pid_t spawn_program(const struct program *program, int *reply) {
  int replies[2] = {-1, -1}, errors[2] = {-1, -1}, input = lift(input_file(program));
  pid_t pid = fork_program(program, input, replies, errors);
  if (input >= 0) close(input);
  *reply = pid > 0 ? replies[0] : -1;
  if (pid > 0) replies[0] = -1;
  close_pipe(replies);
  close_pipe(errors);
  return pid;
}
