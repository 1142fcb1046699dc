/* swapper DIRECTORY A B [DIRECTORY A B]...: exchanges two names in each directory, as often as it can, until it is killed. Says so when it has begun. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MOST 8

int main(int argc, char **argv) {
  int directories[MOST], count = (argc - 1) / 3;
  if (argc < 4 || count > MOST) return 2;
  for (int i = 0; i < count; i++) {
    directories[i] = open(argv[1 + 3 * i], O_PATH | O_DIRECTORY);
    if (directories[i] < 0 || renameat2(directories[i], argv[2 + 3 * i], directories[i], argv[3 + 3 * i], RENAME_EXCHANGE)) return 1;
  }
  if (write(1, "swapping\n", 9) != 9) return 1;
  for (int i = 0;; i = (i + 1) % count) renameat2(directories[i], argv[2 + 3 * i], directories[i], argv[3 + 3 * i], RENAME_EXCHANGE);
}
