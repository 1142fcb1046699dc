/*
 * The addon of short-lived programs. Its loading takes V8's flag --no-rehash-snapshot back: they start Node with it,
 * because a random hash seed costs them 4 ms (scripts/launch), but code that was compiled ahead, Node's own modules
 * included, is accepted only under the flags it was compiled with. And it connects without node:net, which costs 5 ms.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <node_api.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* v8::V8::SetFlagsFromString(const char *, size_t) */
void _ZN2v82V818SetFlagsFromStringEPKcm(const char *flags, size_t length);

static napi_value failed(napi_env env, int error) {
  napi_throw_error(env, strerrorname_np(error), strerror(error));
  return NULL;
}

/* connect(path): a connected, blocking socket. Throws an Error with a code. */
static napi_value connect_unix(napi_env env, napi_callback_info call) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t count = 1, length = 0;
  napi_value path, result;
  if (napi_get_cb_info(env, call, &count, &path, NULL, NULL) != napi_ok || napi_get_value_string_utf8(env, path, NULL, 0, &length) != napi_ok)
    return failed(env, EINVAL);
  if (length >= sizeof address.sun_path) return failed(env, ENAMETOOLONG);
  napi_get_value_string_utf8(env, path, address.sun_path, sizeof address.sun_path, &length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(env, errno);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
    int error = errno;
    close(fd);
    return failed(env, error);
  }
  napi_create_int32(env, fd, &result);
  return result;
}

static napi_value init(napi_env env, napi_value exports) {
  static const char flags[] = "--rehash-snapshot";
  napi_value function;
  _ZN2v82V818SetFlagsFromStringEPKcm(flags, sizeof flags - 1);
  if (napi_create_function(env, "connect", NAPI_AUTO_LENGTH, connect_unix, NULL, &function) == napi_ok) napi_set_named_property(env, exports, "connect", function);
  return exports;
}

NAPI_MODULE(client, init)
