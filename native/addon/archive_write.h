/* The parts of the tar writer: archive_write.c has them, archive_write_changes.c uses them, too. */
#ifndef GANTRY_ARCHIVE_WRITE_H
#define GANTRY_ARCHIVE_WRITE_H

#include "archive.h"

#include <sys/types.h>

struct known_file {
  dev_t device;
  ino_t inode;
  char *path;
};

struct writer {
  bool overlay;
  struct id_maps ids;
  stream_output output;
  tree_file file;
  void *context;
  struct known_file *known; /* files with several names, in the order of the hash table below */
  size_t known_count, known_room;
  uint8_t *room;
};

enum { WRITER_ROOM = 256 << 10 };

/* fd: of the thing, for its extended attributes; -1 for none. */
int writer_header(struct writer *writer, const char *path, char type, const char *link, const struct stat *st, int fd);
/* An empty file. */
int writer_marker(struct writer *writer, const char *path, const char *name);
/* A regular file; a hard link when it was written before under another name. */
int writer_file(struct writer *writer, int dir, const char *name, const char *path);
/* What is neither file nor folder. */
int writer_node(struct writer *writer, int dir, const char *name, const char *prefix, const char *path, const struct stat *st);
/* Ends the archive when `result` is 0, and frees. */
int writer_finish(struct writer *writer, int result);

#endif
