/* Filling a tmpfs with what it covers. */
#ifndef GANTRY_COPY_H
#define GANTRY_COPY_H

/* Copies what is in the directory `from` into the directory `to`: files, links, nodes, with owners, modes and times. Neither
 * follows links nor leaves the two directories. 0 or -errno. */
int copy_tree(int from, int to);

#endif
