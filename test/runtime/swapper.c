/* swapper DIRECTORY A B: exchanges two names, as often as it can, until it is killed. Says so when it has begun. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int directory = argc == 4 ? open(argv[1], O_PATH | O_DIRECTORY) : -1;
  if (directory < 0 || renameat2(directory, argv[2], directory, argv[3], RENAME_EXCHANGE)) return 1;
  if (write(1, "swapping\n", 9) != 9) return 1;
  for (;;) renameat2(directory, argv[2], directory, argv[3], RENAME_EXCHANGE);
}
