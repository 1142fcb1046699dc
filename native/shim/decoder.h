/* What the files that decode plans share. */
#ifndef GANTRY_DECODER_H
#define GANTRY_DECODER_H

#include "plan.h"

struct decoder {
  struct reader reader;
  struct arena *arena;
};

/* Room for a list whose items take at least `least` bytes each on the wire; sets *count. NULL and bad when it cannot be. */
void *decode_list(struct decoder *d, uint32_t *count, size_t item, size_t least);
struct strings decode_strings(struct decoder *d);
/* `into`: a struct exec_step. */
void decode_exec(struct decoder *d, void *into);

#endif
