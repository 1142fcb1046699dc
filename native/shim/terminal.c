#define _GNU_SOURCE
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static sigset_t held;

void hold_signals(void) {
  sigfillset(&held);
  static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGPIPE, SIGTTIN, SIGTTOU};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&held, own[i]);
  signal(SIGTTOU, SIG_IGN);
  sigprocmask(SIG_BLOCK, &held, NULL);
}

static void copy_size(int master) {
  struct winsize size;
  if (!ioctl(0, TIOCGWINSZ, &size)) ioctl(master, TIOCSWINSZ, &size);
}

static bool make_raw(struct termios *before) {
  struct termios raw;
  if (tcgetattr(0, before)) return false;
  raw = *before;
  cfmakeraw(&raw);
  raw.c_oflag |= OPOST;
  return !tcsetattr(0, TCSANOW, &raw);
}

static int write_all(int fd, const char *bytes, ssize_t length) {
  while (length > 0) {
    ssize_t wrote = write(fd, bytes, (size_t)length);
    if (wrote < 0 && errno != EINTR) return -1;
    if (wrote > 0) bytes += wrote, length -= wrote;
  }
  return 0;
}

/* False at the end or on an error. */
static bool copy_some(int from, int to) {
  char bytes[65536];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  return got > 0 && !write_all(to, bytes, got);
}

static void pass_signal(int signals, pid_t pid, int master) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != sizeof info || info.ssi_signo == SIGCHLD) return;
  if (info.ssi_signo == SIGWINCH && master >= 0) copy_size(master);
  else kill(pid, (int)info.ssi_signo);
}

/* An exited child stays a zombie until the terminal's last output is read. */
static bool has_ended(pid_t pid, int *code) {
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) || info.si_pid != pid) return false;
  *code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  return true;
}

static void drain(int master) {
  fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
  struct pollfd ready = {.fd = master, .events = POLLIN};
  while (poll(&ready, 1, 0) > 0 && ready.revents & POLLIN && copy_some(master, 1));
}

void plain_line_ends(int master) {
  struct termios termios;
  if (tcgetattr(master, &termios)) return;
  termios.c_oflag &= ~(tcflag_t)ONLCR;
  tcsetattr(master, TCSANOW, &termios);
}

int attend(pid_t pid, int master) {
  struct termios before;
  bool raw = master >= 0 && make_raw(&before);
  if (master >= 0) copy_size(master);
  int signals = signalfd(-1, &held, SFD_CLOEXEC), code = 0;
  struct pollfd fds[] = {{.fd = signals, .events = POLLIN}, {.fd = master, .events = POLLIN}, {.fd = master >= 0 ? 0 : -1, .events = POLLIN}};
  while (!has_ended(pid, &code)) {
    if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
    if (fds[0].revents) pass_signal(signals, pid, master);
    if (fds[1].revents && !copy_some(master, 1)) fds[1].fd = -1;
    if (fds[2].revents && !copy_some(0, master)) fds[2].fd = -1;
  }
  if (master >= 0) drain(master);
  if (raw) tcsetattr(0, TCSANOW, &before);
  return code;
}
