/* Plans without a supervisor, for the OCI command line. */
#ifndef GANTRY_ONESHOT_H
#define GANTRY_ONESHOT_H

int oneshot_main(int argc, char **argv);

#endif
