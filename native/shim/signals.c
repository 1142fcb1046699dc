#define _GNU_SOURCE
#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  for (int signal_number = 1; signal_number < NSIG; signal_number++) signal(signal_number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void end_by_signal(int signal_number) { _exit(128 + signal_number); }

void end_on_signals(void) {
  static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};
  for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) signal(ending[i], end_by_signal);
}
