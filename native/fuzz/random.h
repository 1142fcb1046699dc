/* Numbers that look random and are the same in every run from one seed: xorshift64. */
#ifndef GANTRY_FUZZ_RANDOM_H
#define GANTRY_FUZZ_RANDOM_H
#include <stdint.h>

/* The seed; never 0. */
static uint64_t random_state;

static uint64_t random_number(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

#endif
