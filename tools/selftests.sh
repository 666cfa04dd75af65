#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Linux's own selftests of KVM from Debian's linux-source-6.1; nothing is installed.
#
#   build/selftests/kvm/NAME        each program, static and stripped
#   build/selftests/kvm.missing     those that did not build, one a line (the reasons: kvm.log)
#
# The package and the part of it that is needed stay in build/cache. Done once; --renew begins anew.
set -eu

cd "$(dirname "$0")/.."
cache=build/cache
selftests=build/selftests
log=$cache/selftests.log
me=selftests
. tools/archive.sh

source_package=linux-source-6.1
tree=$cache/$source_package
kvm=$tree/tools/testing/selftests/kvm

get_source() {
    [ ! -s "$kvm/Makefile" ] || return 0
    get download $source_package
    rm -rf "$tree.new"
    mkdir -p "$tree.new"
    echo "selftests: unpacking $(basename "$file")"
    dpkg-deb --fsys-tarfile "$file" 2>>"$log" |
        tar -xO ./usr/src/$source_package.tar.xz 2>>"$log" |
        tar -xJ --strip-components=1 -C "$tree.new" $source_package/tools/testing/selftests/kvm \
            $source_package/tools/testing/selftests/rseq \
            $source_package/tools/testing/selftests/lib.mk \
            $source_package/tools/testing/selftests/kselftest.h \
            $source_package/tools/testing/selftests/kselftest_harness.h \
            $source_package/tools/include $source_package/tools/arch \
            $source_package/tools/build $source_package/tools/lib $source_package/tools/scripts \
            2>>"$log" || fail_with_log "cannot unpack $file"
    rm -rf "$tree"
    mv "$tree.new" "$tree"
}

# The programs that the Makefile names for this processor.
wanted() {
    sed -n 's/^TEST_GEN_PROGS\(_EXTENDED\)\?_x86_64 +\?= //p' "$kvm/Makefile"
}

# Static, so that an initial file system needs nothing else. Some do not build against Debian's
# headers: make goes on (-k), and they are named.
build_kvm() {
    echo "selftests: building Linux's selftests of KVM"
    make -k -j"$(nproc)" -C "$kvm" ARCH=x86 CC="${CC:-gcc} -static" >"$selftests/kvm.log" 2>&1 ||
        true
    rm -rf "$selftests/kvm.new"
    mkdir -p "$selftests/kvm.new"
    : >"$selftests/kvm.missing"
    for program in $(wanted); do
        if [ -x "$kvm/$program" ]; then
            strip -o "$selftests/kvm.new/$(basename "$program")" "$kvm/$program" 2>/dev/null ||
                cp "$kvm/$program" "$selftests/kvm.new/"
        else
            echo "$program" >>"$selftests/kvm.missing"
        fi
    done
    [ -n "$(ls "$selftests/kvm.new")" ] || fail "nothing was built; see $selftests/kvm.log"
    rm -rf "$selftests/kvm"
    mv "$selftests/kvm.new" "$selftests/kvm"
    echo "selftests: $(ls "$selftests/kvm" | wc -l) built," \
        "not built: $(tr '\n' ' ' <"$selftests/kvm.missing")"
}

case "${1:-}" in
    "") ;;
    --renew) rm -rf "$tree" "$selftests" ;;
    *) fail "unknown argument '$1'; the only one is --renew" ;;
esac
for tool in make gcc strip; do
    command -v "$tool" >/dev/null || fail "$tool is missing; run: tools/setup.sh run test"
done
mkdir -p "$selftests"
[ ! -d "$selftests/kvm" ] || exit 0
get_source
build_kvm
