/*
 * Archives: a tar parser, an extractor that stays inside its root, a byte stream that hashes and inflates, a tar writer and
 * operations on trees. None of it knows Node; archive.c is the only file here that does. Flags and limits come in, counters
 * and the failing entry come out.
 *
 *   bytes ─▶ stream (blob sha256, gzip | zstd | plain, diff sha256) ─▶ tar parser ─▶ extractor ─▶ files below one root fd
 */
#ifndef GANTRY_ARCHIVE_H
#define GANTRY_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Why an archive was refused. number is an errno: EBADMSG for malformed bytes, E2BIG for a budget, ELOOP and EXDEV for escapes. */
struct archive_error {
  int number;
  char text[160];
  char path[512];
};

/* Records the first error only. Always returns -1. */
int archive_fail(struct archive_error *error, int number, const char *path, const char *text);

/* ---- tar parser: archive_tar.c ---- */

enum tar_type { TAR_FILE = '0', TAR_HARD_LINK = '1', TAR_SYMLINK = '2', TAR_CHAR = '3', TAR_BLOCK = '4', TAR_DIR = '5', TAR_FIFO = '6' };

struct tar_xattr {
  const char *name;
  const uint8_t *value;
  size_t size;
};

/* Valid during the callback only. path and link are bytes, NUL-terminated, exactly as the archive has them. */
struct tar_entry {
  enum tar_type type;
  const char *path;
  const char *link;
  uint64_t size; /* with holes */
  uint32_t mode; /* 07777 */
  int64_t uid, gid;
  int64_t mtime;
  uint32_t mtime_nsec;
  uint32_t dev_major, dev_minor;
  const struct tar_xattr *xattrs;
  size_t xattr_count;
};

/* Each returns 0, or -1 to stop (the sink keeps its own error). */
struct tar_sink {
  void *context;
  int (*entry)(void *context, const struct tar_entry *entry);
  int (*data)(void *context, uint64_t offset, const uint8_t *bytes, size_t size);
  int (*end)(void *context);
};

struct tar_limits {
  uint64_t bytes;    /* of file data, without holes */
  uint64_t entries;
  uint64_t metadata; /* bytes of one entry's extended headers */
};

struct tar_segment {
  uint64_t offset, size;
};

/* Where the reading of a PAX 1.0 sparse map is. */
struct tar_map {
  uint64_t value, digits, seen, wanted, offset;
};

struct tar_buffer {
  char *bytes;
  size_t size, room;
};

enum tar_state { TAR_HEADER, TAR_META, TAR_SPARSE_HEADER, TAR_SPARSE_MAP, TAR_DATA, TAR_PADDING, TAR_ENDED };

struct tar_parser {
  struct tar_sink sink;
  struct tar_limits limits;
  struct archive_error error;
  enum tar_state state;
  uint8_t block[512];
  size_t filled;
  bool zero_block;
  uint64_t entries, bytes;

  char meta_type; /* x, g, L, K */
  uint64_t remaining, padding;
  struct tar_buffer pax, long_name, long_link;
  bool has_pax, has_name, has_link;

  struct tar_entry entry;
  char path_room[512], link_room[128];
  struct tar_xattr *xattrs;
  size_t xattr_count, xattr_room;
  struct tar_segment *segments;
  size_t segment_count, segment_room, segment;
  uint64_t segment_done;
  struct tar_map map;
  bool sparse;
};

void tar_init(struct tar_parser *parser, struct tar_sink sink, struct tar_limits limits);
/* 0, or -1 with parser->error set (error.number 0 when the sink stopped it). */
int tar_push(struct tar_parser *parser, const uint8_t *bytes, size_t size);
/* The input has ended. */
int tar_finish(struct tar_parser *parser);
void tar_free(struct tar_parser *parser);
/* archive_tar_pax.c: reads parser->pax into the entry. */
int tar_apply_pax(struct tar_parser *parser, uint64_t *stored_size, bool *map_in_data);
int tar_add_segment(struct tar_parser *parser, uint64_t offset, uint64_t size);

/* ---- archive_ids.c ---- */

enum id_kind { ID_USER, ID_GROUP };

struct id_range {
  uint32_t kind, inside, outside, size;
};

/* Of a user namespace. None: ids are what they are. */
struct id_maps {
  size_t count;
  struct id_range *ranges;
};

/* The overflow id for one that is not mapped. */
uint32_t ids_inside(const struct id_maps *maps, enum id_kind kind, uint32_t outside);
/* 0, or -1 with errno EOVERFLOW. */
int ids_outside(const struct id_maps *maps, enum id_kind kind, uint32_t inside, uint32_t *outside);
/* security.capability: those of the namespace's root are root's inside. Changes the value, and gives its size. */
size_t ids_caps_inside(const struct id_maps *maps, uint8_t *value, size_t size);
/* This thread makes files as the namespace's root, with root's capabilities, until it leaves. 0, or -1 with errno. */
int ids_enter(const struct id_maps *maps);
void ids_leave(const struct id_maps *maps);
/* The other way round: the size of what is in room, or 0 when the value is to be taken as it is. */
size_t ids_caps_outside(const struct id_maps *maps, const uint8_t *value, size_t size, uint8_t room[24]);

/* ---- extractor: archive_extract.c ---- */

enum extract_flags {
  EXTRACT_OWNER = 1,            /* set uid and gid */
  EXTRACT_XATTRS = 2,           /* set extended attributes; overlay's own names are dropped and counted */
  EXTRACT_DEVICES = 4,          /* make device nodes; else they are refused */
  EXTRACT_WHITEOUT_OVERLAY = 8, /* .wh. names become overlay's 0/0 devices and opaque marks */
  EXTRACT_WHITEOUT_APPLY = 16,  /* .wh. names delete what earlier layers left */
  EXTRACT_USER_XATTR = 32,      /* overlay marks in user.overlay.* */
  EXTRACT_NEED_PARENTS = 64,    /* stop with ESTALE when a parent folder or link target is not in this archive */
  EXTRACT_SYNC = 128,           /* syncfs at the end */
  EXTRACT_KEEP_KIND = 256,      /* no folder in place of something else, nor the other way round: EISDIR and EEXIST */
  EXTRACT_COPY = 512,           /* the root folder keeps its looks; what a link leads to is made when it is missing */
  EXTRACT_CHOWN = 1024,         /* everything belongs to uid and gid, whatever the archive says */
};

struct extract_counters {
  uint64_t entries, files, bytes, whiteouts, dropped_xattrs;
  bool root_entry; /* the archive says how the root folder looks */
};

struct extract_dir {
  char *path;
  struct timespec mtime;
};

struct extractor {
  int root;
  unsigned flags;
  uid_t uid; /* only with EXTRACT_CHOWN */
  gid_t gid;
  struct id_maps ids; /* the ranges are the caller's */
  unsigned links_followed;
  uint64_t depth;         /* most components in a path */
  uint64_t retained_most; /* bytes kept until the end: folder names and times, names seen */
  uint64_t retained;
  struct archive_error error;
  struct extract_counters counters;

  char parent_path[4096];
  int parent; /* -1: none cached */
  int file;
  uint64_t file_size;
  bool file_sparse;
  struct tar_entry *attributes; /* of the open file, owned */
  struct extract_dir *dirs;
  size_t dir_count, dir_room;
  uint64_t *seen; /* hashes of the paths that this archive made; only with EXTRACT_WHITEOUT_APPLY */
  size_t seen_count, seen_room;
};

void extract_init(struct extractor *extractor, int root, unsigned flags);
struct tar_sink extract_sink(struct extractor *extractor);
/* Folder times, then syncfs when asked. */
int extract_finish(struct extractor *extractor);
void extract_free(struct extractor *extractor);

/* archive_extract_path.c */
/* Cleans a name lexically into room: no leading slash, no ".", no "..". "" is the root. -1 with errno EXDEV when it leaves. */
int extract_clean(const char *name, char room[4096], uint64_t depth);
/* An O_PATH fd of the folder at path below root, links resolved inside root; makes it when missing. */
int extract_parent(struct extractor *extractor, const char *path);
void extract_forget_parent(struct extractor *extractor);
int open_in_root(int root, const char *path, int flags);
/* The same, but a link that leads out of the root is EXDEV. */
int open_beneath(int root, const char *path, int flags);
uint64_t extract_hash(const char *path);
int extract_saw(struct extractor *extractor, const char *path);
bool extract_has_seen(const struct extractor *extractor, const char *path);
/* archive_extract_whiteout.c */
/* 1 when base was a whiteout and is dealt with, 0 when it is an ordinary name, -1 on error. */
int extract_whiteout(struct extractor *extractor, const char *path, int parent, const char *base);
int extract_mark_opaque(struct extractor *extractor, int dir);

/* ---- byte stream: archive_stream.c ---- */

enum stream_kind { STREAM_UNKNOWN, STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD };

struct archive_stream;
typedef int (*stream_output)(void *context, const uint8_t *bytes, size_t size);

struct stream_totals {
  enum stream_kind kind;
  uint64_t raw_bytes, plain_bytes;
  char blob_digest[65], diff_digest[65]; /* hex, after stream_finish */
};

/* blob_fd: gets the raw bytes, -1 for none. plain_most: budget of inflated bytes. Without an output nothing is inflated. */
struct archive_stream *stream_new(int blob_fd, uint64_t plain_most, stream_output output, void *context);
/* The digest of what arrives means nothing then, with diff_too neither that of what comes out. */
void stream_skip_hashes(struct archive_stream *stream, bool diff_too);
int stream_push(struct archive_stream *stream, const uint8_t *bytes, size_t size);
int stream_finish(struct archive_stream *stream);
/* Between these two, all on one thread, what is inflated may be hashed and given to the output on a second thread. */
void stream_begin_run(struct archive_stream *stream);
void stream_end_run(struct archive_stream *stream);
/* The second thread has ended, and errors can be looked at. */
void stream_settle(struct archive_stream *stream);
const struct archive_error *stream_error(const struct archive_stream *stream);
const struct stream_totals *stream_totals(const struct archive_stream *stream);
void stream_free(struct archive_stream *stream);

/* ---- archive_stage.c ---- */

struct stage;

/* Streams that run now. */
void stage_count(int change);
/* There are processors for a second thread. */
bool stage_pays(void);
/* A thread that does the work for each room that it is passed, all of one size, until one fails; it has the rights and the priority of its maker. NULL when there is none. */
struct stage *stage_start(size_t room_size, stream_output work, void *context);
/* Passes a filled room for an empty one; -1 when the work has failed. */
int stage_pass(struct stage *stage, uint8_t **room, size_t size);
/* Waits until all is done: 0, or -1 when the work has failed. */
int stage_drain(struct stage *stage);
/* When all is done. */
void stage_end(struct stage *stage);

/* ---- trees: archive_tree.c. All by fd, never following links. ---- */

struct tree_usage {
  uint64_t bytes, inodes;
  /* Sizes of what is not a folder, as ls shows them. */
  uint64_t content;
};

/* Removes name below dir, whatever it is. A missing one is no error. */
int tree_remove(int dir, const char *name);
/* Removes what is inside the folder `dir`. */
int tree_clear(int dir);
/* Removes what is in `dir`. Goes on after an error; the first one is in errno. */
int tree_empty(int dir);
/* Disk use as du counts it: blocks, hard links once. */
int tree_usage(int dir, struct tree_usage *usage);
/* btrfs.c: whether name in `parent` is a subvolume, and its removal, which fails when another one is inside. */
bool is_subvolume(int parent, const char *name);
int destroy_subvolume(int parent, const char *name);
/* Copies what is inside `from` into `to`, with owners, modes, times, xattrs, hard links, devices and holes. */
int tree_copy(int from, int to);

/* kind: 'A' added, 'C' changed, 'D' deleted. path has no leading slash. Returns 0, or -1 to stop. */
typedef int (*tree_change_callback)(void *context, char kind, const char *path);
/* What fuse-overlayfs leaves in an upper folder beside the mark of an opaque one, and hides: in a layer it would mean the mark. */
static inline bool is_opaque_file(const char *name) { return !strcmp(name, ".wh..wh..opq") || !strcmp(name, ".wh..opq"); }

/* What a tree is to those below it: an older whole tree that it is a copy or a snapshot of, with the same inodes; or an upper folder
 * and those below it, topmost first. */
enum tree_kind { TREE_COPY, TREE_OVERLAY, TREE_SNAPSHOT };
int tree_diff(int dir, const int *lowers, size_t count, enum tree_kind kind, tree_change_callback report, void *context);

/* ---- archive_write.c ---- */

/* The next `size` bytes of a file: 1, or 0 when they are to be read and given as bytes, or -1 with errno. */
typedef int (*tree_file)(void *context, int fd, uint64_t size);

struct tree_output {
  stream_output bytes;
  tree_file file; /* NULL: everything is given as bytes */
  void *context;
};

/* The tree below `dir` as a tar archive, in sorted order: the same tree gives the same bytes. overlay: `dir` is an upper folder,
 * written as a layer. Errors of output (-1 with errno) stop it. */
int tree_write(int dir, bool overlay, const struct id_maps *ids, const struct tree_output *output);
/* What the tree at `dir` has changed in the older one at lowers[0], as a layer with whiteouts; what it shares with the others is no change. */
int tree_write_changes(int dir, const int *lowers, size_t count, enum tree_kind kind, stream_output output, void *context);
/* One thing alone, under another name: `name` in `dir`, or `dir` itself and what is below it when `name` is "". */
int tree_write_as(int dir, const char *name, const char *renamed, const struct id_maps *ids, const struct tree_output *output);

/* ---- archive_overlay.c ---- */

/* Layers, all of them below the folder, are shown with the ids of the user namespace; the user and group are its root, as the host counts. */
struct overlay_maps {
  int userns;
  const char *folder;
  uid_t uid;
  gid_t gid;
};

/* An O_PATH-like fd of the root of a mount that is attached nowhere. maps: NULL for ids as they are. */
int overlay_open(const char *const *lowers, size_t count, const char *upper, const char *work, const char *const *options, size_t option_count, const struct overlay_maps *maps);

#endif
