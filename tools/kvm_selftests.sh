#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Linux's KVM selftests from Debian's source package; nothing is installed.
#
#   build/kvm-selftests/bin/{NAME,x86_64/NAME}   the tests, static programs
#   build/kvm-selftests/not-built                names of those that did not build, one a line
#   build/kvm-selftests/package                  the source package they are from
#   build/kvm-selftests/build.log                what make said
#
# The packages stay in build/cache. What is there already is left alone; --renew asks the archive
# for newer packages and builds again.
set -eu

cd "$(dirname "$0")/.."
cache=build/cache
to=build/kvm-selftests
log=$cache/kvm-selftests.log
source_package=linux-source-6.1
headers_package=linux-libc-dev

me=kvm_selftests
. tools/archive.sh

# Both in one version, which the package lists call the newest.
version_of() {
    apt-cache show --no-all-versions "$1" 2>>"$log" | sed -n 's/^Version: //p' | head -n 1
}

# Sets `source` and `headers` to the packages' files.
get_packages() {
    version=$(version_of "$source_package")
    [ -n "$version" ] || return 1
    download "$source_package=$version" || return 1
    source=$file
    download "$headers_package=$version" || return 1
    headers=$file
}

# What the tests' Makefile reads of the kernel's tree, with the headers where it looks for them.
unpack_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    dpkg-deb --fsys-tarfile "$source" | tar -xO "./usr/src/$source_package.tar.xz" |
        tar -xJ -C "$tree" --strip-components=1 "$source_package/tools" \
            "$source_package/scripts" "$source_package/arch/x86/include" 2>>"$log" ||
        fail_with_log "cannot unpack $source"
    dpkg-deb --fsys-tarfile "$headers" | tar -x -C "$tree" ./usr/include 2>>"$log" ||
        fail_with_log "cannot unpack $headers"
}

selftests=tools/testing/selftests/kvm

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
    : >"$new/not-built"
    for name in $(names); do
        [ -x "$new/bin/$name" ] || echo "$name" >>"$new/not-built"
    done
    find "$new/bin" -type f -exec strip {} +
    find "$new/bin" -type d -empty -delete
}

renew=""
case "${1:-}" in
    "") ;;
    --renew) renew=yes ;;
    *) fail "unknown argument '$1'; the only one is --renew" ;;
esac
[ ! -s "$to/package" ] || [ -n "$renew" ] || exit 0
for tool in make gcc; do
    command -v "$tool" >/dev/null || fail "$tool is missing; run: tools/setup.sh run test"
done
[ -z "$renew" ] || ask_archive
get get_packages "$source_package"
new=$to.new tree=$to.new/tree
rm -rf "$new"
mkdir -p "$new/bin"
unpack_tree
build
built=$(find "$new/bin" -type f | wc -l)
[ "$built" != 0 ] || fail "no test builds; see $new/build.log"
rm -rf "$tree" "$to"
basename "$source" >"$new/package"
mv "$new" "$to"
echo "kvm_selftests: $built tests of $(cat "$to/package")"
[ ! -s "$to/not-built" ] ||
    echo "kvm_selftests: not built: $(tr '\n' ' ' <"$to/not-built")(see $to/build.log)"
