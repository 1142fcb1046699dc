#!/bin/sh
# Compiles the native parts with cc alone. usage: native/build.sh NODE_INCLUDE_DIR OUT_DIR
# OUT_DIR gets gantry.node (the addon), client.node (see client/client.c), gantry-shim (launcher, shim and executor, static),
# gantry-runtime (the front of the OCI command line, static), gantry-init (PID 1 of --init, static), gantry-relay (serves published ports, static).
set -eu
include=$1
out=$2
here=$(dirname "$0")
mkdir -p "$out"
flags="-std=gnu17 -O2 -g -Wall -Wextra -Werror ${CFLAGS:-}"
cc $flags -fPIC -shared -pthread -I"$include" -I"$here/include" -o "$out/gantry.node.new" "$here"/addon/*.c
mv "$out/gantry.node.new" "$out/gantry.node"
cc $flags -fPIC -shared -I"$include" -o "$out/client.node.new" "$here"/client/*.c
mv "$out/client.node.new" "$out/client.node"
if ls "$here"/shim/*.c >/dev/null 2>&1; then
  cc $flags -static -I"$here/include" -o "$out/gantry-shim.new" "$here"/shim/*.c
  mv "$out/gantry-shim.new" "$out/gantry-shim"
fi
cc $flags -static -o "$out/gantry-runtime.new" "$here"/front/*.c "$here"/shim/wire.c "$here"/shim/files.c
mv "$out/gantry-runtime.new" "$out/gantry-runtime"
cc $flags -static -o "$out/gantry-relay.new" "$here"/relay/*.c
mv "$out/gantry-relay.new" "$out/gantry-relay"
if ls "$here"/init/*.c >/dev/null 2>&1; then
  cc $flags -static -o "$out/gantry-init.new" "$here"/init/*.c
  mv "$out/gantry-init.new" "$out/gantry-init"
fi
