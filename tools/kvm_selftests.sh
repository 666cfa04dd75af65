#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Linux's KVM selftests from Debian's source package, as static programs; nothing is
# installed. What is where, and --renew: tools/selftests.sh.
#
#   build/kvm-selftests/bin/{NAME,x86_64/NAME}
set -eu

cd "$(dirname "$0")/.."
me=kvm_selftests
what=kvm
. tools/selftests.sh

# The tests that the Makefile names for this architecture, as it does.
names() {
    sed -n 's/^TEST_GEN_PROGS_x86_64 *+*= *//p' "$tree/$selftests/Makefile"
}

# Static, because the guests of the tests are the tests' own programs, and nobody links in there.
build() {
    include=$(realpath "$tree")/usr/include
    make -k -j"$(nproc)" -C "$tree/$selftests" ARCH=x86_64 OUTPUT="$(realpath "$new")/bin" \
        KHDR_INCLUDES="-isystem $include -isystem $include/x86_64-linux-gnu" \
        LDFLAGS="-static -pthread -no-pie" >"$new/build.log" 2>&1 || true
    find "$new/bin" -name '*.[od]' -delete
    find "$new/bin" -type f -exec strip {} +
    find "$new/bin" -type d -empty -delete
}

make_selftests "$@"
