#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's gdb on Debian's kernel: symbols from the guest's own /proc/kallsyms (made once and kept
beside the kernel), break at a symbol, single steps, memory, system registers, a watchpoint, a
system call's arguments, and the end; which must be that of a run without a debugger.

    gdb_on_debian.py POSTERN KERNELS INITRAMFS FLAVOUR [PROCESSORS]
"""
import os
import re
import subprocess
import sys

from gdb_client import need_gdb, parts, session, values
from machine import expect, run

TOOL = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "kernel_symbols.py")
BOOT_SECONDS = 150
REBOOT_MAGIC = 0xfee1dead  # first argument of reboot(2)
REGISTER_RDI = 14 * 8      # its place in the kernel's struct of a system call's registers

SCRIPT = """
set pagination off
set confirm off
set width 0
target remote {address}
echo @break\\n
hbreak start_kernel
continue
p/x $rip
x/i $pc
info threads
x/s &linux_banner
echo @system\\n
p/x $cr3
p $cr0
p $cr4
p/x $gs_base
echo @step\\n
stepi
p/x $rip
echo @watch\\n
delete
watch *(int *)&system_state
continue
info symbol $pc
echo @call\\n
delete
break __x64_sys_reboot
continue
x/gx $rdi+{rdi}
p $cr4
echo @end\\n
delete
continue
"""


def command(postern, kernels, initramfs, flavour, processors):
    return [postern, "run", "--bare", "--stats", "--cpus", processors, "--initrd", initramfs,
            "--kernel", os.path.join(kernels, flavour, "vmlinuz")]


def append(*words):
    return ["--append", " ".join(("console=ttyS0", *words))]


def need(*paths):
    for path in paths:
        if not os.path.exists(path):
            print(f"skipped: {path} is missing; tools/kernels.sh fetches it")
            sys.exit(77)


def symbols_of(postern, kernels, initramfs, flavour):
    """build/kernels/FLAVOUR/symbols.elf, younger than the kernel."""
    elf = os.path.join(kernels, flavour, "symbols.elf")
    kernel = os.path.join(kernels, flavour, "vmlinuz")
    if os.path.exists(elf) and os.path.getmtime(elf) > os.path.getmtime(kernel):
        return elf
    log = f"{elf}.{os.getpid()}.log"
    with open(log, "wb") as file:
        subprocess.run([*command(postern, kernels, initramfs, flavour, "1"),
                        *append("postern.kallsyms")], stdin=subprocess.DEVNULL, stdout=file,
                       check=True, timeout=BOOT_SECONDS)
    run(sys.executable, "-B", TOOL, log, elf)
    os.remove(log)
    return elf


def address(elf, name):
    return next(int(line.split()[0], 16) for line in run("nm", elf).splitlines()
                if line.endswith(f" {name}"))


def check(found, elf, processors):
    start = address(elf, "start_kernel")
    text = found["break"]
    expect("start_kernel" in text and values(text) == [start], "it is not at start_kernel")
    banner = re.search(r'"Linux version (\S+) ', text)
    expect(banner, "the kernel's banner is not where its symbol says")
    expect(len(re.findall(r"Thread \d", text)) >= processors, "a processor is missing")
    root, _ = values(found["system"])
    expect(root & 0xfff == 0 and root != 0, f"CR3 is {root:#x}")
    expect(re.search(r"\[ PE .*WP .*PG \]", found["system"]), "no paging")
    # Its first instruction is a call, or what ftrace puts in its place.
    call = re.search(r"=> .*\bcall\s+(0x[0-9a-f]+)", text)
    wanted = int(call[1], 16) if call else start + 5
    expect(values(found["step"]) == [wanted], f"the step does not lead to {wanted:#x}")
    changed = re.search(r"Old value = 0\nNew value = 1$", found["watch"], re.M)
    expect(changed, "system_state does not change from booting to the next")
    argument = re.search(r":\s+0x([0-9a-f]{16})$", found["call"], re.M)
    expect(argument and int(argument[1], 16) & 0xffff_ffff == REBOOT_MAGIC,
           "reboot's argument is not its magic number")
    expect("exited normally" in found["end"], "gdb does not see the power-off")
    return banner[1]


def main():
    need_gdb()
    postern, kernels, initramfs, flavour = sys.argv[1:5]
    processors = sys.argv[5] if len(sys.argv) > 5 else "1"
    need(os.path.join(kernels, flavour, "vmlinuz"), initramfs)
    elf = symbols_of(postern, kernels, initramfs, flavour)
    arguments = [*command(postern, kernels, initramfs, flavour, processors), *append()]
    plain = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=BOOT_SECONDS)
    text, end = session(arguments, elf, SCRIPT.format(address="{address}", rdi=REGISTER_RDI),
                        BOOT_SECONDS)
    version = check(parts(text), elf, int(processors))
    expect(f"postern: kernel {version}," in plain.stdout, "another kernel says that it is running")
    expect(end == (plain.stdout, plain.stderr, plain.returncode), "the guest noticed the debugger")
    print("ok")


main()
