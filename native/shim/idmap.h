#ifndef GANTRY_IDMAP_H
#define GANTRY_IDMAP_H

#include "failure.h"

/* Writes the id maps of the process `pid`; setgroups "" or "allow" leaves that file alone. */
int write_id_maps(struct failure *failure, int pid, const struct op *op);

/* Gives the detached mount `mount` the id maps of the op. */
int idmap_mount(struct failure *failure, int mount, const struct op *op);

#endif
