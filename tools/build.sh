#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh PRESET [-D...] [TARGET...]: configures what is not configured yet and builds, all
# targets if none is named. The output goes to build/PRESET/build.log; its end is shown if the
# build fails, and one line is printed if it did something.
set -eu

preset=$1
shift
definitions=""
targets=""
for word in "$@"; do
    case $word in
    -D*) definitions="$definitions $word" ;;
    *) targets="$targets $word" ;;
    esac
done

directory=build/$preset
log=$directory/build.log
mkdir -p "$directory"
: >"$log"
start=$(date +%s)

fail() {
    tail -n 40 "$log" >&2
    echo "build: preset $preset failed; the whole log is in $log" >&2
    exit 1
}

if [ ! -f "$directory/build.ninja" ] || [ -n "$definitions" ]; then
    # shellcheck disable=SC2086  # lists of words
    cmake --preset "$preset" $definitions >>"$log" 2>&1 || fail
fi
# shellcheck disable=SC2086
cmake --build "$directory" --parallel "$(nproc)" ${targets:+--target} $targets \
    >>"$log" 2>&1 || fail

if ! tail -n 1 "$log" | grep -q '^ninja: no work to do'; then
    echo "build: $directory done in $(($(date +%s) - start)) s"
fi
