#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Linux's SGX selftests from Debian's source package; nothing is installed. What is where,
# and --renew: tools/selftests.sh.
#
#   build/sgx-selftests/bin/test_sgx        a static program, OpenSSL's libcrypto in it
#   build/sgx-selftests/bin/test_encl.elf   its enclave, which it looks for where it is started
set -eu

cd "$(dirname "$0")/.."
me=sgx_selftests
what=sgx
. tools/selftests.sh

names() {
    echo test_sgx
    echo test_encl.elf
}

# The enclave's symbols stay: the tests look its entries up by name.
build() {
    make -k -j"$(nproc)" -C "$tree/$selftests" ARCH=x86_64 OUTPUT="$(realpath "$new")/bin" \
        CC="gcc -static" >"$new/build.log" 2>&1 || true
    find "$new/bin" -name '*.o' -delete
    [ ! -f "$new/bin/test_sgx" ] || strip "$new/bin/test_sgx"
}

make_selftests "$@"
