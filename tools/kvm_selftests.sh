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

fail() {
    echo "kvm_selftests: $1" >&2
    exit 2
}

fail_with_log() {
    tail -n 5 "$2" >&2
    fail "$1; the whole log is in $2"
}

# Both in one version, which the package lists call the newest.
version_of() {
    apt-cache show --no-all-versions "$1" 2>>"$log" | sed -n 's/^Version: //p' | head -n 1
}

# Sets `file` to the package $1 of version $2 in the cache, downloaded unless it is there.
download() {
    name=$(apt-get download --print-uris "$1=$2" 2>>"$log" | cut -d' ' -f2)
    [ -n "$name" ] || return 1
    file=$cache/$name
    [ ! -s "$file" ] || return 0
    echo "kvm_selftests: downloading $1 $2"
    work=$cache/partial.$$
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && apt-get -o APT::Sandbox::User=root download "$1=$2") >>"$log" 2>&1 \
        </dev/null && mv "$work/$name" "$file" || file=""
    rm -rf "$work"
    [ -n "$file" ]
}

# Sets `source` and `headers` to the packages' files.
get_packages() {
    version=$(version_of "$source_package")
    [ -n "$version" ] || return 1
    download "$source_package" "$version" || return 1
    source=$file
    download "$headers_package" "$version" || return 1
    headers=$file
}

update_lists() {
    [ "$(id -u)" = 0 ] || fail "package lists are missing or old; run: sudo apt-get update"
    echo "kvm_selftests: updating the package lists"
    apt-get update >>"$log" 2>&1 </dev/null || fail_with_log "apt-get update failed" "$log"
}

# What the tests' Makefile reads of the kernel's tree, with the headers where it looks for them.
unpack() {
    rm -rf "$tree"
    mkdir -p "$tree"
    dpkg-deb --fsys-tarfile "$source" | tar -xO "./usr/src/$source_package.tar.xz" |
        tar -xJ -C "$tree" --strip-components=1 "$source_package/tools" \
            "$source_package/scripts" "$source_package/arch/x86/include" 2>>"$log" ||
        fail_with_log "cannot unpack $source" "$log"
    dpkg-deb --fsys-tarfile "$headers" | tar -x -C "$tree" ./usr/include 2>>"$log" ||
        fail_with_log "cannot unpack $headers" "$log"
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
for tool in apt-get apt-cache dpkg-deb make gcc; do
    command -v "$tool" >/dev/null || fail "$tool is missing; this needs a Debian system"
done
mkdir -p "$cache"
[ -z "$renew" ] || update_lists
get_packages || { update_lists && get_packages; } ||
    fail_with_log "cannot download $source_package" "$log"
new=$to.new tree=$to.new/tree
rm -rf "$new"
mkdir -p "$new/bin"
unpack
build
built=$(find "$new/bin" -type f | wc -l)
[ "$built" != 0 ] || fail_with_log "no test builds" "$new/build.log"
rm -rf "$tree" "$to"
basename "$source" >"$new/package"
mv "$new" "$to"
echo "kvm_selftests: $built tests of $(cat "$to/package")"
[ ! -s "$to/not-built" ] ||
    echo "kvm_selftests: not built: $(tr '\n' ' ' <"$to/not-built")(see $to/build.log)"
