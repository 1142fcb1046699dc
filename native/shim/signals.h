#ifndef GANTRY_SIGNALS_H
#define GANTRY_SIGNALS_H

/* What signals do to a new process: the default, nothing blocked. */
void reset_signals(void);

/* The first process of a pid namespace gets only those signals that it has a handler for: until its program runs, a created
 * container ends as another process would. execve takes the handlers away. */
void end_on_signals(void);

#endif
