/* Sockets that reserve ports, in flight in a unix socket: a bundle. Several of them go in one message. */
#ifndef GANTRY_PORT_BUNDLE_H
#define GANTRY_PORT_BUNDLE_H

#include <node_api.h>
#include <stdint.h>

/* SCM_MAX_FD of the kernel is 253, and an entry has up to two sockets. */
enum { PORT_BUNDLE_BATCH = 250 };

/* Puts the descriptors in flight, up to PORT_BUNDLE_BATCH + 1. Returns 0 or an errno. */
int port_bundle_put(int socket, const int *fds, uint32_t count);
/* The same, and closes them here. */
int port_bundle_send(int socket, const int *fds, uint32_t count);

napi_value pick_ports(napi_env env, napi_callback_info info);

#endif
