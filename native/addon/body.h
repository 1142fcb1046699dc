/* The body of an HTTP request, read straight off its connection: by its length, or by its chunks (RFC 9112, section 7.1). */
#ifndef GANTRY_BODY_H
#define GANTRY_BODY_H

#include "archive.h"
#include <node_api.h>

struct body;

/* The body's next bytes, which hold until the next call. 1, or 0 at its end, or -1 with the error set: ECONNRESET when the client
 * has left, ECANCELED after bodyClose, ETIMEDOUT when nothing comes, EBADMSG for chunks that are none. */
int body_next(struct body *body, const uint8_t **bytes, size_t *size, struct archive_error *error);
/* Of what bodyOpen gave. NULL when it is something else. */
struct body *body_of(napi_env env, napi_value handle);
/* A thread reads it, or has ended with that: it stays open meanwhile. */
void body_use(struct body *body, bool busy);

#endif
