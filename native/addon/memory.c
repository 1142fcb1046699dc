#define _GNU_SOURCE
#include "addon.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* v8::Isolate::GetCurrent() and LowMemoryNotification(), which Node's C interface does not have. */
void *_ZN2v87Isolate10GetCurrentEv(void);
void _ZN2v87Isolate21LowMemoryNotificationEv(void *isolate);

/* Node's program and its constants: nobody writes there, what is used again is mapped again from the page cache. */
static int unmap_program(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  (void)data;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || part->p_flags & PF_W) continue;
    uintptr_t from = (info->dlpi_addr + part->p_vaddr) & ~(page - 1), to = info->dlpi_addr + part->p_vaddr + part->p_filesz;
    madvise((void *)from, to - from, MADV_DONTNEED);
  }
  /* The first is the program; libraries are small. */
  return 1;
}

/* giveBackMemory(): collects garbage and gives free memory back to the system; takes tens of milliseconds. */
static napi_value give_back_memory(napi_env env, napi_callback_info call) {
  (void)env;
  (void)call;
  _ZN2v87Isolate21LowMemoryNotificationEv(_ZN2v87Isolate10GetCurrentEv());
  malloc_trim(0);
  dl_iterate_phdr(unmap_program, NULL);
  return NULL;
}

int register_memory(napi_env env, napi_value exports) { return addon_function(env, exports, "giveBackMemory", give_back_memory); }
