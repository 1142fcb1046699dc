/* lookup ROOT USER: asks for a user after chroot, as the engines of CVE-2019-14271 did: what /etc/nsswitch.conf of ROOT names is loaded and run. */
#define _GNU_SOURCE
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3 || chroot(argv[1]) || chdir("/")) return 1;
  printf("%s\n", getpwnam(argv[2]) ? "found" : "not found");
  return 0;
}
