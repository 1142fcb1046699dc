/* Ids of containers whose user namespace maps them: archives have them as the container sees them, files as the host does. */
#define _GNU_SOURCE
#include "archive.h"

#include <errno.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

/* capabilities(7), "File capability extended attribute versioning": little-endian words. A version 3 ends with the host's id of
 * the user whose namespace it counts in; version 2 means root of the host. */
enum { CAPS_SIZE_2 = 20, CAPS_SIZE_3 = 24, CAPS_2 = 2, CAPS_3 = 3 };

#define OVERFLOW_ID 65534

uint32_t ids_inside(const struct id_maps *maps, enum id_kind kind, uint32_t outside) {
  for (size_t i = 0; i < maps->count; i++) {
    const struct id_range *range = &maps->ranges[i];
    if (range->kind == (uint32_t)kind && outside - range->outside < range->size) return range->inside + (outside - range->outside);
  }
  return maps->count ? OVERFLOW_ID : outside;
}

int ids_outside(const struct id_maps *maps, enum id_kind kind, uint32_t inside, uint32_t *outside) {
  *outside = inside;
  for (size_t i = 0; i < maps->count; i++) {
    const struct id_range *range = &maps->ranges[i];
    if (range->kind != (uint32_t)kind || inside - range->inside >= range->size) continue;
    *outside = range->outside + (inside - range->inside);
    return 0;
  }
  if (!maps->count) return 0;
  errno = EOVERFLOW;
  return -1;
}

size_t ids_caps_inside(const struct id_maps *maps, uint8_t *value, size_t size) {
  uint32_t root;
  if (!maps->count || size != CAPS_SIZE_3 || value[3] != CAPS_3) return size;
  memcpy(&root, value + CAPS_SIZE_2, sizeof root);
  if (ids_inside(maps, ID_USER, root)) return size;
  value[3] = CAPS_2;
  return CAPS_SIZE_2;
}

size_t ids_caps_outside(const struct id_maps *maps, const uint8_t *value, size_t size, uint8_t room[24]) {
  uint32_t root;
  if (!maps->count || size != CAPS_SIZE_2 || value[3] != CAPS_2 || ids_outside(maps, ID_USER, 0, &root)) return 0;
  memcpy(room, value, size);
  room[3] = CAPS_3;
  memcpy(room + CAPS_SIZE_2, &root, sizeof root);
  return CAPS_SIZE_3;
}

/* These are a thread's own: the C library's wrappers leave the others alone. */
int ids_enter(const struct id_maps *maps) {
  uint32_t uid, gid;
  if (!maps || !maps->count) return 0;
  if (ids_outside(maps, ID_USER, 0, &uid) || ids_outside(maps, ID_GROUP, 0, &gid) || prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)) return -1;
  setfsgid(gid);
  setfsuid(uid);
  return 0;
}

void ids_leave(const struct id_maps *maps) {
  if (!maps || !maps->count) return;
  setfsuid(0);
  setfsgid(0);
  prctl(PR_SET_SECUREBITS, 0);
}
