# SPDX-License-Identifier: Apache-2.0
# Linux's selftests, built from Debian's source package; nothing is installed. Whoever reads this in
# has called set -eu, sets `me` (for messages) and `what` (the tests' name in the kernel's tree),
# and defines
#   names   prints the files in bin that there should be, one a line
#   build   builds them from $tree/$selftests into $new/bin, make's output to $new/build.log
# and calls `make_selftests "$@"`, which leaves
#   build/$what-selftests/bin/        the tests
#   build/$what-selftests/not-built   those of `names` that did not build
#   build/$what-selftests/package     the source package they are from
#   build/$what-selftests/build.log   what make said
#
# The packages stay in build/cache. What is there already is left alone; --renew asks the archive
# for newer packages and builds again.

cache=build/cache
to=build/$what-selftests
log=$cache/$what-selftests.log
new=$to.new
tree=$new/tree
selftests=tools/testing/selftests/$what
source_package=linux-source-6.1
headers_package=linux-libc-dev

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

# What the tests' Makefiles read of the kernel's tree, with the headers where they look for them.
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

make_selftests() {
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
    rm -rf "$new"
    mkdir -p "$new/bin"
    unpack_tree
    build
    : >"$new/not-built"
    for name in $(names); do
        [ -x "$new/bin/$name" ] || echo "$name" >>"$new/not-built"
    done
    built=$(find "$new/bin" -type f | wc -l)
    [ "$built" != 0 ] || fail "no test builds; see $new/build.log"
    rm -rf "$tree" "$to"
    basename "$source" >"$new/package"
    mv "$new" "$to"
    echo "$me: $built programs of $(cat "$to/package")"
    [ ! -s "$to/not-built" ] ||
        echo "$me: not built: $(tr '\n' ' ' <"$to/not-built")(see $to/build.log)"
}
