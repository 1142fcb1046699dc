/* agent listen SOCKET: a seccomp listener. Prints the state that it gets and refuses every call that it is asked about with ENOMEDIUM.
 * agent notify: says READY=1 to $NOTIFY_SOCKET. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

static int notify(void) {
  struct sockaddr_un address = address_of(getenv("NOTIFY_SOCKET"));
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  return sendto(fd, "READY=1\n", 8, 0, (struct sockaddr *)&address, sizeof address) == 8 ? 0 : 1;
}

static int take_listener(int connection) {
  char state[8192];
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {state, sizeof state - 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(connection, &message, 0);
  if (length <= 0 || !CMSG_FIRSTHDR(&message)) return -1;
  state[length] = 0;
  printf("%s\n", state);
  fflush(stdout);
  int listener;
  memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof listener);
  return listener;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "notify")) return notify();
  if (argc != 3) return 2;
  struct sockaddr_un address = address_of(argv[2]);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 4)) return 1;
  printf("listening\n");
  fflush(stdout);
  int listener = take_listener(accept(server, NULL, NULL));
  for (;;) {
    struct seccomp_notif asked = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
      if (errno == EINTR) continue;
      return 0;
    }
    struct seccomp_notif_resp answer = {.id = asked.id, .error = -ENOMEDIUM};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
