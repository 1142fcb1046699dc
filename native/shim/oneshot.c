/* Written together with src/oci/cli/oneshot.ts (the command line's side of it). */
#include "oneshot.h"

int oneshot_main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return 2;
}
