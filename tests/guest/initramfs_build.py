#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The initial file system for Debian's kernels: the same bytes each time, files added where they
were asked for, kernel modules after those they depend on, and one line for what cannot be built.

    initramfs_build.py TOOL BUSYBOX MODULES"""
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import expect

SKIPPED = 77


def build(tool, output, *arguments):
    return subprocess.run([sys.executable, "-B", tool, "--output", output, *arguments],
                          capture_output=True, text=True, check=False)


def entries(archive):
    """Path: (mode, modification time, content) of each member of a newc archive."""
    found, at = {}, 0
    while True:
        expect(archive[at:at + 6] == b"070701", f"no newc header at {at:#x}")
        field = [int(archive[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110:at + 110 + field[11] - 1].decode()
        if name == "TRAILER!!!":
            return found
        content = (at + 110 + field[11] + 3) & ~3
        found[name] = field[1], field[5], archive[content:content + field[6]]
        at = (content + field[6] + 3) & ~3


def check_modules(tool, modules, output):
    if not Path(modules, "virtio_blk.ko").is_file():
        print(f"no modules in {modules}")
        return
    done = build(tool, output, "--modules", modules, "--module", "kvm-intel nested=0 ept=1",
                 "--module", "virtio_blk", "--module", "kvm")
    expect(done.returncode == 0, done.stderr)
    found = entries(output.read_bytes())
    lines = found["etc/modules"][2].decode().splitlines()
    names = [line.split()[0] for line in lines]
    expect(sorted(names) == sorted({"irqbypass", "kvm", "kvm-intel", "virtio_ring", "virtio",
                                    "virtio_pci_legacy_dev", "virtio_pci_modern_dev",
                                    "virtio_pci", "virtio_blk"}), f"modules are {names}")
    for first, second in (("irqbypass", "kvm"), ("kvm", "kvm-intel"), ("virtio_ring", "virtio"),
                          ("virtio", "virtio_pci"), ("virtio_pci", "virtio_blk"),
                          ("virtio_pci_modern_dev", "virtio_pci")):
        expect(names.index(first) < names.index(second), f"{second} before {first}")
    expect("kvm-intel nested=0 ept=1" in lines, "a module's parameters are lost")
    for name in names:
        expect(found[f"lib/modules/{name}.ko"][2] == Path(modules, f"{name}.ko").read_bytes(),
               f"{name} is another one")
    done = build(tool, output, "--modules", modules, "--module", "none_such")
    expect(done.returncode != 0 and done.stderr.count("\n") == 1 and "none_such" in done.stderr,
           f"for a missing module it says: {done.stderr}")


def main():
    tool, busybox, modules = sys.argv[1:]
    if not Path(busybox).is_file():
        print(f"skipped: {busybox} is missing")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as name:
        first, second, added = (Path(name, n) for n in ("first", "second", "added"))
        for output in (first, second):
            expect(build(tool, output).returncode == 0, "it cannot be built")
        expect(first.read_bytes() == second.read_bytes(), "two builds differ")
        packed = Path(f"{first}.gz").read_bytes()
        expect(packed == Path(f"{second}.gz").read_bytes(), "two packed builds differ")
        expect(gzip.decompress(packed) == first.read_bytes(), "the packed form is another one")
        expect(build(tool, first).stdout == "", "it is written though it is there already")

        found = entries(first.read_bytes())
        expect(found["bin/busybox"][2] == Path(busybox).read_bytes(), "busybox is another one")
        expect(found["init"][0] == 0o100755, f"/init has mode {found['init'][0]:o}")
        expect(found["dev/console"][0] == 0o020600, "/dev/console is no device")
        expect(all(time == 0 for _, time, _ in found.values()), "a time is not 0")

        Path(name, "file").write_bytes(b"12345")
        done = build(tool, added, "--add", f"{name}/file=lib/modules/x.ko:644")
        expect(done.returncode == 0, done.stderr)
        found = entries(added.read_bytes())
        expect(found["lib/modules/x.ko"] == (0o100644, 0, b"12345"), "the added file is not there")
        expect(found["lib/modules"][0] == 0o040755, "nor its directory")

        done = build(tool, added, "--add", f"{name}/none")
        expect(done.returncode != 0 and done.stderr.count("\n") == 1 and "none" in done.stderr,
               f"for a missing file it says: {done.stderr}")
        expect("etc/modules" not in found, "modules nobody asked for")
        check_modules(tool, modules, added)
    print("ok")


main()
