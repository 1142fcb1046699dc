/* What a new process says to whoever makes it: spawn.h draws the conversation. */
#define _GNU_SOURCE
#include "executor.h"
#include "message.h"
#include "spawn.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATUS_SIZE 8192

void send_failure(struct context *c) {
  if (c->status < 0) {
    if (!strcmp(c->failure.step, "hook")) {
      dprintf(2, "error running startContainer hook %s\n", c->failure.subject);
      return;
    }
    const char *text = strerror(c->failure.error);
    dprintf(2, "exec %s: %c%s\n", c->program ? c->program : "", tolower((unsigned char)text[0]), text + 1);
    return;
  }
  uint8_t bytes[1024];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_FAILED);
  write_failure(&writer, &c->failure);
  message_send(c->status, bytes, (size_t)(writer.at - bytes), NULL, 0, 0);
}

void send_executing(struct context *c) {
  if (c->status < 0) return;
  uint8_t bytes[STATUS_SIZE];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_EXECUTING);
  write_timings(&writer, &c->timings);
  /* write(2), which every seccomp filter that lets a program run allows. */
  if (write(c->status, bytes, (size_t)(writer.at - bytes)) < 0) _exit(1);
}

static int wait_for_go(struct context *c) {
  uint8_t byte;
  ssize_t got;
  while ((got = read(c->status, &byte, 1)) < 0 && errno == EINTR);
  return got == 1 && byte == STATUS_GO ? 0 : -1;
}

int ask_hook(struct context *c, uint32_t index) {
  uint8_t bytes[5];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_HOOK);
  write_u32(&writer, index);
  if (message_send(c->status, bytes, sizeof bytes, NULL, 0, 0) || wait_for_go(c)) return fail(&c->failure, ECHILD, "hook", c->plan->child.items[index].path);
  return 0;
}

int ask_idmap(struct context *c, uint32_t index, int mount) {
  uint8_t bytes[5];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_IDMAP);
  write_u32(&writer, index);
  if (message_send(c->status, bytes, sizeof bytes, &mount, 1, 0) || wait_for_go(c)) return fail(&c->failure, ECHILD, "idmap", c->plan->child.items[index].source);
  return 0;
}

/* Only by read and write, which a filter with a listener does not stop here: see compile.ts. */
int hand_over_listener(struct context *c, int listener) {
  uint8_t bytes[5];
  struct writer writer = writer_of(bytes, sizeof bytes);
  write_u8(&writer, STATUS_LISTENER);
  write_u32(&writer, (uint32_t)listener);
  if (c->status < 0 || write(c->status, bytes, sizeof bytes) < 0 || wait_for_go(c)) return fail(&c->failure, ECHILD, "seccompListener", c->step->listener_path);
  close(listener);
  return 0;
}

/* Nobody listens to us any more: a later failure can only be told on stderr. */
static int wait_for_fifo(struct context *c) {
  char byte;
  close(c->status);
  c->status = -1;
  ssize_t got;
  while ((got = read(c->start_fifo, &byte, 1)) < 0 && errno == EINTR);
  close(c->start_fifo);
  return got == 1 ? 0 : -1;
}

int say_ready(struct context *c, bool wait) {
  uint8_t byte = STATUS_READY;
  if (c->console_master >= 0) {
    if (message_send(c->status, &byte, 1, &c->console_master, 1, 0)) return -1;
    close(c->console_master);
  } else if ((wait || c->start_fifo >= 0) && write(c->status, &byte, 1) != 1) return -1;
  if (c->start_fifo >= 0) return wait_for_fifo(c);
  return wait ? wait_for_go(c) : 0;
}
