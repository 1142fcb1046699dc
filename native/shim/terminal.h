/* Staying with a process of the command line: its terminal is ours, signals go on to it, and its end is ours. */
#ifndef GANTRY_TERMINAL_H
#define GANTRY_TERMINAL_H

#include <sys/types.h>

/* Keeps signals for attend. Before the process can be sent any. */
void hold_signals(void);

/* No \r\n for line ends: our own terminal, if there is one, makes them; what is no terminal gets what the program writes. */
void plain_line_ends(int master);

/* Until our child `pid` has ended; its exit code (128 + n for signal n). `master`: its terminal, which is copied from stdin and
 * to stdout and closed, or -1. */
int attend(pid_t pid, int master);

#endif
