#define _GNU_SOURCE
#include "addon.h"

int register_log(napi_env env, napi_value exports) {
  (void)env;
  (void)exports;
  return 0;
}
