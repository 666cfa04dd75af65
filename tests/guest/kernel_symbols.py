#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/kernel_symbols.py: what binutils read in the file it makes, and what it refuses.

    kernel_symbols.py KERNEL_SYMBOLS.py
"""
import os
import subprocess
import sys
import tempfile

from machine import expect, run

LOG = """[    0.000000] Linux version 6.1
postern: kallsyms begin
0000000000000000 A fixed_percpu_data
0000000000001000 A cpu_tss_rw
ffffffff81000000 T startup_64
ffffffff81000000 T _stext
ffffffff81000110 t helper
[    1.500000] a message in between
ffffffff81001000 T start_kernel
ffffffff81c00000 T _etext
ffffffff82000000 R some_table
ffffffff82400000 D jiffies
ffffffff83000000 T _sinittext
ffffffff83000010 t init_one
ffffffff83100000 T _einittext
ffffffffc0000000 t in_module\t[loop]
postern: kallsyms end
[    2.000000] power off
""".replace("\n", "\r\n")


def convert(tool, directory, text):
    log = os.path.join(directory, "serial.log")
    with open(log, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    elf = os.path.join(directory, "new", "symbols.elf")
    done = subprocess.run([sys.executable, "-B", tool, log, elf], capture_output=True, text=True)
    return done, elf


def check_symbols(tool, directory):
    done, elf = convert(tool, directory, LOG)
    expect(done.returncode == 0, done.stderr)
    found = {}
    for line in run("nm", elf).splitlines():
        value, kind, name = line.split()
        found[name] = (int(value, 16), kind)
    wanted = {"startup_64": (0xffffffff81000000, "T"), "helper": (0xffffffff81000110, "t"),
              "start_kernel": (0xffffffff81001000, "T"), "jiffies": (0xffffffff82400000, "D"),
              "init_one": (0xffffffff83000010, "t"), "cpu_tss_rw": (0x1000, "A"),
              "loop:in_module": (0xffffffffc0000000, "t")}
    for name, value in wanted.items():
        got = found.get(name)
        # nm tells zero-filled data from other data.
        same = got and got[0] == value[0] and got[1].replace("B", "D") == value[1]
        expect(same, f"{name} is {got}")
    expect(len(found) == 13, f"{len(found)} symbols")
    sections = run("readelf", "-SW", elf)
    expect(sections.count(" AX ") == 3, "code is not in three sections")


def check_refusals(tool, directory):
    for text, word in (("nothing here\n", "no line is one of /proc/kallsyms"),
                       (LOG[:LOG.index("postern: kallsyms end")], "cut short"),
                       ("0000000000000000 T _text\n0000000000000000 T _etext\n", "kptr_restrict")):
        done, _ = convert(tool, directory, text)
        expect(done.returncode == 1 and word in done.stderr, f"{word}: {done.stderr}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        check_symbols(sys.argv[1], directory)
        check_refusals(sys.argv[1], directory)
    print("ok")


main()
