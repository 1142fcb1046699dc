/* Plans without a supervisor, for the OCI command line.
 *
 *   exec-plan create FOLDER [OPTIONS]   makes a container's init, which waits for a byte from FOLDER/exec.fifo
 *   exec-plan restore FOLDER [OPTIONS]  makes a container's groups and starts criu in them, see restore.h; of its further fds the first
 *                                       is the control socket, the others are criu's
 *   exec-plan exec PID [OPTIONS]        runs a further process in the container whose init is PID
 *
 *   --console-socket PATH   with a terminal: send its master there (the name "/dev/ptmx" with the fd)
 *   --pidfd-socket PATH     send a pidfd of the process there
 *   --mountpoint PATH       where the root gets attached in the container's own mount namespace; with create
 *   --preserve-fds N        fds 5 to 4+N become the process's 3 to 2+N
 *   --size WIDTHxHEIGHT     of an exec's terminal
 *   --wait                  stay until the process has ended, and end with its code
 *   --env NAME=VALUE        in the environment, which is empty else; with restore
 *   --trace                 measure
 *
 * fds 0-2 become the process's; 3 is the plan; to 4 goes one message as a shim would send it: CREATED, EXEC_STARTED or FAILED.
 * The process is our child, so that it goes to the caller's subreaper when we end. */
#ifndef GANTRY_ONESHOT_H
#define GANTRY_ONESHOT_H

int oneshot_main(int argc, char **argv);

#endif
