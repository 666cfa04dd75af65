#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's gdb on our guest: symbols, breakpoints of both kinds, single steps, memory and system
registers, a watchpoint, and the end. What must be seen comes from binutils, not from Postern; and
the run must end as it does without a debugger, to the instruction and to the last bit of state.

    gdb_session.py FIRST_LIGHT.elf POSTERN
"""
import re
import subprocess
import sys

from gdb_client import need_gdb, parts, session, values
from machine import TIMEOUT, Image, expect, run

FUNCTION = "postern::guests::set_control_registers"
LATER = "postern::guests::map_runtime"
COUNTER = "_ZN7postern6guests12_GLOBAL__N_14usedE"

SCRIPT = """
set pagination off
set confirm off
set width 0
target remote {address}
echo @start\\n
info threads
p/x $rip
echo @break\\n
break {function}
continue
p/x $rip
x/2i $pc
x/12xb $pc
echo @step\\n
stepi
p/x $rip
stepi 3
p/x $rip
echo @system\\n
p/x $cr3
p $cr0
p $efer
p $cs
x/gx $cr3
echo @hbreak\\n
delete
hbreak {later}
continue
p/x $rip
echo @watch\\n
delete
watch *(long *){counter:#x}
continue
x/i $pc
info symbol $pc
echo @rwatch\\n
delete
rwatch *(long *){counter:#x}
continue
delete
echo @set\\n
set $old = $rbx
set $rbx = 0x1122334455667788
p/x $rbx
set $rbx = $old
set $old = *(long *){counter:#x}
set *(long *){counter:#x} = 77
p *(long *){counter:#x}
set *(long *){counter:#x} = $old
echo @monitor\\n
monitor regs
monitor sregs
echo @end\\n
continue
"""


def command(postern, path, *more):
    return [postern, "run", "--bare", "--kernel", path, "--append", "selftest",
            "--memory", "64M", "--epc", "2M", "--stats", *more]


def instructions(image, symbol):
    """Addresses and bytes of a function, as objdump has them."""
    found = []
    inside = False
    for line in run("objdump", "-d", "-w", image.path).splitlines():
        if re.match(r"[0-9a-f]+ <.*>:$", line):
            inside = f"<{symbol}>" in line
        row = re.match(r"\s+([0-9a-f]+):\t((?:[0-9a-f]{2} )+)", line)
        if inside and row:
            found.append((int(row[1], 16), bytes.fromhex(row[2])))
    return found


def check_start(text, image):
    entry = re.search(r"Entry point address:\s+(0x[0-9a-f]+)", run("readelf", "-h", image.path))
    expect(values(text) == [int(entry[1], 16)], "the first instruction is not the ELF's entry")
    expect("processor 0: running" in text, "the thread is not processor 0")


def check_break(found, image):
    code = instructions(image, "_ZN7postern6guests21set_control_registersEv")
    text = found["break"]
    expect("Breakpoint 1, " in text, "the breakpoint was not met")
    expect(values(text) == [code[0][0]], "it stands elsewhere than at the breakpoint")
    shown = bytes(int(b, 16) for row in re.findall(r"^0x.*?:((?:\s0x[0-9a-f]{2})+)$", text, re.M)
                  for b in row.split())
    wanted = b"".join(part for _, part in code)[:12]
    expect(shown == wanted, f"memory has {shown.hex()}, the file {wanted.hex()}")
    expect(values(found["step"]) == [code[1][0], code[4][0]], "steps lead elsewhere")


def check_system(text):
    root, code = values(text)[0], re.search(r"\$\d+ = (\d+)$", text, re.M)
    expect(root & 0xfff == 0 and root < 64 << 20, f"CR3 is {root:#x}")
    for flags in (r"\[ PE .*WP.* PG \]", r"\[ .*LME LMA.* \]"):
        expect(re.search(flags, text), f"no {flags}")
    expect(code and int(code[1]) & 3 == 0, "CS is not ring 0's")
    entry = int(re.search(r"^0x[0-9a-f]+.*:\s+(0x[0-9a-f]+)$", text, re.M)[1], 16)
    expect(entry & 1 == 1 and (entry & ~0xfff) < 64 << 20, f"the PML4's first entry is {entry:#x}")


def check_watch(found):
    text = found["watch"]
    old, new = (int(re.search(rf"{w} value = (\d+)", text)[1]) for w in ("Old", "New"))
    # The first page in a quarter of the address space that has none: three tables.
    expect((old, new) == (0, 3), f"the counter of page tables goes from {old} to {new}")
    expect("map_page" in text.splitlines()[-1], "the store is not in map_page")
    expect("Hardware read watchpoint" in found["rwatch"] and f"Value = {new}" in found["rwatch"],
           "the read watchpoint was not met")


def main():
    need_gdb()
    path, postern = sys.argv[1:3]
    image = Image(path)
    plain = subprocess.run(command(postern, path), stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=TIMEOUT)
    text, end = session(command(postern, path), path, SCRIPT.format(
        address="{address}", function=FUNCTION, later=LATER, counter=image.symbols[COUNTER]))
    found = parts(text)
    check_start(found["start"], image)
    check_break(found, image)
    check_system(found["system"])
    expect(values(found["hbreak"]) == [image.symbols["_ZN7postern6guests11map_runtimeEv"]],
           "the hardware breakpoint was not met")
    check_watch(found)
    expect("= 0x1122334455667788" in found["set"] and "= 77" in found["set"], "nothing was set")
    expect(re.search(r"^rip [0-9a-f]{16} <.*map_page", text, re.M) and
           re.search(r"^gdt +base", text, re.M), "monitor is silent")
    expect("exited with code 01" in found["end"], "gdb does not see the end")
    # Instructions and the digest of the whole machine's state are in what --stats says.
    expect(re.search(r"^state [0-9a-f]{64}$", plain.stderr, re.M), "no digest")
    expect(end == (plain.stdout, plain.stderr, plain.returncode), "the guest noticed the debugger")
    print("ok")


main()
