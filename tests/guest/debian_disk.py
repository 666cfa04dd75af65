#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with its own driver of virtio disks: what it reads is what the image holds, what
it writes is there afterwards, at its place and nowhere else, and the log has no complaint.

    debian_disk.py POSTERN KERNELS FLAVOUR PROCESSORS [hosted]"""
import hashlib
import random
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints, with_modules
from machine import expect

SIZE = 8 << 20
BLOCK = 4096
NUMBERS_AT, COPY_AT = 100, 1000  # in blocks

# `sync` and a read by another way (direct: past the page cache) show that it is on the disk.
SCRIPT = f"""#!/bin/busybox sh
echo "disk: $(sha256sum </dev/vda)"
seq 1 50000 | dd of=/dev/vda bs={BLOCK} seek={NUMBERS_AT} 2>/dev/null
dd if=/dev/vda of=/dev/vda bs={BLOCK} count=512 seek={COPY_AT} 2>/dev/null
sync
echo "size: $(cat /sys/block/vda/size)"
echo "direct: $(dd if=/dev/vda iflag=direct bs=64k 2>/dev/null | sha256sum)"
grep virtio /proc/interrupts
"""


def expected(before):
    """The image after SCRIPT."""
    after = bytearray(before)
    numbers = b"".join(b"%d\n" % n for n in range(1, 50001))
    after[NUMBERS_AT * BLOCK:NUMBERS_AT * BLOCK + len(numbers)] = numbers
    after[COPY_AT * BLOCK:(COPY_AT + 512) * BLOCK] = after[:512 * BLOCK]
    return bytes(after)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def main():
    postern, kernels, flavour, processors = sys.argv[1:5]
    bare = "hosted" not in sys.argv[5:]
    with tempfile.TemporaryDirectory() as work:
        initramfs = with_modules(work, kernels, flavour, "virtio_blk", script=SCRIPT)
        before = random.Random(20190729).randbytes(SIZE)
        disk = Path(work, "disk")
        disk.write_bytes(before)
        run = Debian(postern, kernels, initramfs, flavour, bare=bare).boot(
            "postern.run=check", "--cpus", processors, "--drive", disk)
        after = disk.read_bytes()
    wrong = complaints(run.serial)
    if run.status != 0:
        wrong.append(f"status {run.status}")
    for wanted in ("postern: module virtio_blk", f"disk: {digest(before)}",
                   f"size: {SIZE // 512}", f"direct: {digest(expected(before))}",
                   "PCI-MSI", "virtio0-req.0", "postern: status 0", "postern: power off"):
        if wanted not in run.serial:
            wrong.append(f"not in the log: {wanted}")
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    expect(len(after) == SIZE, f"the image has {len(after)} bytes now")
    expect(after == expected(before), "the image holds other bytes than were written")
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()
