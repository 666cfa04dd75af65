# SPDX-License-Identifier: Apache-2.0
# Debian's archive, for the scripts that take packages apart without installing them. Whoever reads
# this in sets `me` (for messages), `cache` (where packages stay) and `log`, and has called set -eu.

asked_archive=""

fail() {
    echo "$me: $1" >&2
    exit 2
}

fail_with_log() {
    tail -n 5 "$log" >&2
    fail "$1; the whole log is in $log"
}

# Package lists may be missing or out of date: asks once, and only if something was not found.
ask_archive() {
    [ -z "$asked_archive" ] || return 1
    asked_archive=yes
    [ "$(id -u)" = 0 ] || fail "package lists are missing or old; run: sudo apt-get update"
    echo "$me: updating the package lists"
    apt-get update >>"$log" 2>&1 </dev/null || fail_with_log "apt-get update failed"
}

# Sets `file` to the package $1 in the cache, downloaded unless it is there.
download() {
    name=$(apt-get download --print-uris "$1" 2>>"$log" | cut -d' ' -f2)
    [ -n "$name" ] || return 1
    file=$cache/$name
    [ ! -s "$file" ] || return 0
    echo "$me: downloading $1"
    work=$cache/partial.$$
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && apt-get -o APT::Sandbox::User=root download "$1") >>"$log" 2>&1 </dev/null &&
        mv "$work/$name" "$file" || file=""
    rm -rf "$work"
    [ -n "$file" ]
}

# Calls $1 for the package $2, a second time with fresh package lists.
get() {
    "$1" "$2" || { ask_archive && "$1" "$2"; } || fail_with_log "cannot download $2"
}

# Takes the files matching $3 ... of the package $1 apart into the directory $2.
unpack() {
    package=$1 into=$2
    shift 2
    rm -rf "$into"
    mkdir -p "$into"
    dpkg-deb --fsys-tarfile "$package" 2>>"$log" |
        tar -x -C "$into" --wildcards "$@" 2>>"$log" || fail_with_log "cannot unpack $package"
}

for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing; this needs a Debian system"
done
mkdir -p "$cache"
