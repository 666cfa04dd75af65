#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches what the tests boot, from Debian's archive, and unpacks it; nothing is installed.
#
#   build/kernels/amd64/{vmlinuz,config,package}   linux-image-amd64's kernel
#   build/kernels/cloud/{vmlinuz,config,package}   linux-image-cloud-amd64's
#   build/kernels/{amd64,cloud}/modules/NAME.ko    its modules of virtio and KVM
#   build/kernels/busybox                          busybox-static's
#
# The packages stay in build/cache. What is there already is left alone, what is missing of it is
# added; --renew asks the archive for newer ones.
set -eu

cd "$(dirname "$0")/.."
cache=build/cache
kernels=build/kernels
log=$cache/kernels.log
me=kernels
. tools/archive.sh

# With all that their "depends" name, so that tools/initramfs.py finds every one.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
         virtio_blk virtio_console irqbypass kvm kvm-intel"

# The package with the kernel that the package $1 depends on.
image_of() {
    apt-cache depends --important "$1" 2>>"$log" |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

# The same for the kernel that the package $1 depends on.
download_image() {
    image=$(image_of "$1")
    [ -n "$image" ] && download "$image"
}

has_modules() {
    for module in $modules; do
        [ -s "$1/modules/$module.ko" ] || return 1
    done
}

# Adds the modules of the package $1 to the directory $2, all of them or none.
add_modules() {
    from=$1 kernel=$2
    patterns=""
    for module in $modules; do
        patterns="$patterns ./lib/modules/*/kernel/*/$module.ko"
    done
    set -f # the patterns are tar's
    unpack "$from" "$kernel/modules.new" $patterns
    set +f
    find "$kernel/modules.new/lib" -name '*.ko' -exec mv {} "$kernel/modules.new" \;
    rm -rf "$kernel/modules.new/lib" "$kernel/modules"
    mv "$kernel/modules.new" "$kernel/modules"
    has_modules "$kernel" || fail "$from lacks a module: $module"
}

add_kernel() {
    from=$1 kernel=$2
    unpack "$from" "$kernel" './boot/*'
    mv "$kernel"/boot/vmlinuz-* "$kernel/vmlinuz" || fail "$from holds no kernel"
    mv "$kernel"/boot/config-* "$kernel/config" || fail "$from holds no configuration"
    rm -rf "$kernel/boot"
    basename "$from" >"$kernel/package"
}

get_kernel() {
    to=$kernels/$1 new=$kernels/$1.new
    if [ -s "$to/vmlinuz" ] && [ -z "$renew" ]; then
        ! has_modules "$to" || return 0
        file=$cache/$(cat "$to/package")
        # Modules of another build would not load: without that package, all is made anew.
        if [ -s "$file" ]; then
            add_modules "$file" "$to"
            echo "kernels: $to has its modules now"
            return 0
        fi
    fi
    get download_image "$2"
    add_kernel "$file" "$new"
    add_modules "$file" "$new"
    rm -rf "$to"
    mv "$new" "$to"
    echo "kernels: $to is $(basename "$file")"
}

get_busybox() {
    to=$kernels/busybox
    [ ! -s "$to" ] || [ -n "$renew" ] || return 0
    get download busybox-static
    unpack "$file" "$to.new" ./bin/busybox
    mv "$to.new/bin/busybox" "$to" || fail "$file holds no busybox"
    rm -rf "$to.new"
    echo "kernels: $to is $(basename "$file")"
}

renew=""
case "${1:-}" in
    "") ;;
    --renew) renew=yes ;;
    *) fail "unknown argument '$1'; the only one is --renew" ;;
esac
mkdir -p "$kernels"
[ -z "$renew" ] || ask_archive
get_kernel amd64 linux-image-amd64
get_kernel cloud linux-image-cloud-amd64
get_busybox
