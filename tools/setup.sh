#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs those Debian packages of the lists named on the command line that are missing, and
# says nothing if none is. Everything that Postern needs is in Debian 12's main archive.
set -eu

run="g++ cmake ninja-build pkg-config binutils python3
     libzydis-dev libssl-dev libcli11-dev libfmt-dev nlohmann-json3-dev
     liblzma-dev zlib1g-dev libzstd-dev liblz4-dev"
test="libgtest-dev gdb clang-19 libclang-rt-19-dev qemu-system-x86"
lint="clang-tidy-19 clang-format-19"
bench="libbenchmark-dev qemu-system-x86"

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is not a Debian system; the packages needed are listed in $0" >&2
    exit 2
fi

missing=""
for list in "$@"; do
    eval "packages=\$$list"
    for package in $packages; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

command="apt-get install --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "setup: packages are missing; install them with: sudo $command" >&2
    exit 2
fi

echo "setup: installing$missing"
mkdir -p build
log=build/setup.log
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && $command --yes; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed; the whole log is in $log" >&2
    exit 2
fi
