/* Messages to the launcher: pieces of u8 length, u8 number of fds, bytes. Nothing leaks, nothing is forked. */
#define _GNU_SOURCE
#include <sys/types.h>

static pid_t no_fork(void);
#define fork no_fork
#include "../shim/launcher.c"
#undef fork

static pid_t no_fork(void) { return -1; }

void shim_main(int socket) {
  (void)socket;
  abort();
}

static int open_fds(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static void send_piece(int socket, const uint8_t *bytes, size_t size, size_t fd_count) {
  int fds[MESSAGE_FDS_MAX] = {0};
  for (size_t i = 0; i < fd_count; i++) fds[i] = dup(0);
  message_send(socket, bytes, size, fds, fd_count, MSG_DONTWAIT);
  for (size_t i = 0; i < fd_count; i++) close(fds[i]);
}

static void drop_replies(int socket) {
  uint8_t bytes[MESSAGE_SIZE];
  struct message_fds fds;
  while (message_receive(socket, bytes, sizeof bytes, &fds, MSG_DONTWAIT) > 0) message_close_fds(&fds);
}

static void set_up_once(void) {
  static bool done;
  if (done) return;
  done = true;
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < CLIENTS_MAX; i++) launcher.clients[i].fd = -1;
  if (loop_open()) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  set_up_once();
  int before = open_fds(), pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) abort();
  struct source *client = &launcher.clients[0];
  *client = (struct source){.fd = pair[0], .ready = client_ready};
  watch(client, EPOLLIN);
  while (size >= 2 && client->fd >= 0) {
    size_t length = bytes[0], fd_count = bytes[1] % (MESSAGE_FDS_MAX + 1);
    bytes += 2, size -= 2;
    if (length > size) length = size;
    send_piece(pair[1], bytes, length, fd_count);
    loop_turn(0);
    drop_replies(pair[1]);
    bytes += length, size -= length;
  }
  client_close(client);
  close(pair[1]);
  for (int i = 0; i < KEPT_MAX; i++)
    if (launcher.kept[i]) drop_kept(launcher.kept[i]->name);
  launcher.ending = false;
  if (open_fds() != before) abort();
  return 0;
}
