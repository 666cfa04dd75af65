#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A snapshot that cannot be gone on from: one line that says why, and status 2.

    debian_bad_snapshots.py POSTERN KERNELS INITRAMFS FLAVOUR"""
import sys
import tempfile
import zlib
from pathlib import Path

from debian import Debian
from machine import expect

BAD_INPUT = 2
FORMAT = slice(8, 12)    # of the file's header: the version of the format
LAYOUT = slice(12, 16)   # and of the state's layout
HEADER_END = 20          # where the header's checksum is


def with_version(snapshot, field):
    changed = bytearray(snapshot)
    number = int.from_bytes(changed[field], "little") + 1
    changed[field] = number.to_bytes(4, "little")
    changed[HEADER_END:HEADER_END + 4] = zlib.crc32(changed[:HEADER_END]).to_bytes(4, "little")
    return bytes(changed)


def flipped(snapshot, at):
    changed = bytearray(snapshot)
    changed[at] ^= 1
    return bytes(changed)


def main():
    debian = Debian(*sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        good, bad = Path(name, "good"), Path(name, "bad")

        def refused(what, path, *options, word=""):
            run = debian.run("--load", path, *options)
            print(f"{what}: {run.errors}", end="")
            expect(run.status == BAD_INPUT, f"{what}: status {run.status}")
            expect(run.errors.count("\n") == 1 and run.errors.endswith("\n"), f"{what}: not a line")
            expect(word in run.errors, f"{what}: not a word of {word}")
            expect(run.serial == "", f"{what}: the guest ran")

        made = debian.boot("nokaslr", "--save", good, "--save-at", 5_000_001)
        expect(made.status == 0, made.errors)
        snapshot = good.read_bytes()
        expect(debian.run("--load", good, "--max-instructions", 5_000_100).status == 124,
               "the good one is refused, too")

        size = len(snapshot)
        for what, content in (
                ("another format", with_version(snapshot, FORMAT)),
                ("another layout", with_version(snapshot, LAYOUT)),
                ("nothing", b""), ("half a header", snapshot[:10]),
                ("cut in a section", snapshot[:size // 2]), ("one byte short", snapshot[:-1]),
                ("a byte too many", snapshot + b"\0"), ("no snapshot", b"#!/bin/sh\n" * 100),
                ("a flipped bit", flipped(snapshot, size // 3)),
                ("a flipped bit at its end", flipped(snapshot, size - 1))):
            bad.write_bytes(content)
            refused(what, bad, word=str(bad))
        refused("no file", Path(name, "none"), word="none")
        refused("other memory", good, "--memory", "512M", word="--memory 1G")
        refused("other processors", good, "--cpus", "2", word="--cpus 1")
        refused("another EPC", good, "--epc", "32M", word="--epc 64M")
        refused("other features", good, "--cpu", "postern-v3,-smap", word="--cpu")
        refused("saving without a moment", good, "--save", bad, word="--save-at")
    print("ok")


main()
