#!/bin/sh
# Builds what parses untrusted bytes with AddressSanitizer and UndefinedBehaviorSanitizer, and fuzzes each for a few seconds.
# usage: native/check.sh [SECONDS_EACH] [WORK_DIR]; needs cc with libasan and libubsan.
set -eu
seconds=${1:-4}
here=$(cd "$(dirname "$0")" && pwd)
work=${2:-$here/../build/fuzz}
mkdir -p "$work"
cd "$work"
flags="-std=gnu17 -g -O1 -Wall -Wextra -Werror -Wno-unused-function -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# A sanitizer's own memory is in the way of tiny container limits, not of these programs: leaks are errors as well.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1

target() {
  name=$1
  shift
  sources=
  for file in "$@"; do sources="$sources $here/shim/$file.c"; done
  cc $flags -o "$name" "$here/fuzz/$name.c" "$here/fuzz/driver.c" $sources &
  builds="${builds:-} $!"
}

target fuzz_plan wire plan plan_exec
target fuzz_launcher wire message loop files
target fuzz_shim wire plan plan_exec message loop streams logfile failure processes requests adoption files
target fuzz_front wire
target fuzz_log logfile failure wire
target fuzz_identity identity root wire failure
target fuzz_tar ../addon/archive_tar ../addon/archive_tar_pax ../addon/archive_extract_path
target fuzz_body ../addon/body_chunks
for build in $builds; do wait "$build"; done

for name in fuzz_plan fuzz_launcher fuzz_shim fuzz_front fuzz_log fuzz_identity fuzz_tar fuzz_body; do
  "./$name" "$seconds" "$here/fuzz/seeds/${name#fuzz_}" ${SEED:-}
done
