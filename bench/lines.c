/* Prints so many lines of 100 bytes, 64 KB at a time: lines COUNT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { line = 100, batch = 655 };

int main(int argc, char **argv) {
  static char block[line * batch];
  long left = argc > 1 ? atol(argv[1]) : 0;
  memset(block, 'x', sizeof block);
  for (int i = 0; i < batch; i++) block[i * line + line - 1] = '\n';
  while (left > 0) {
    size_t size = (size_t)(left < batch ? left : batch) * line;
    for (size_t at = 0; at < size;) {
      ssize_t wrote = write(1, block + at, size - at);
      if (wrote < 0) return 1;
      at += (size_t)wrote;
    }
    left -= batch;
  }
  return 0;
}
