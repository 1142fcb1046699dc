#include "oneshot.h"

int oneshot_main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return 2;
}
