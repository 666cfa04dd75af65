# SPDX-License-Identifier: Apache-2.0
"""Our loaders, judged by a machine of others: their work, the memory of a PC and a start state, is
put into QEMU, whose firmware is a few instructions that load that state. Debian's kernel must come
from there to our /init. There are no ACPI tables.

    boot_image_in_qemu.py BOOT_IMAGE KERNELS INITRAMFS FLAVOUR WAY"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MIB = 1 << 20
MEMORY = 160  # MiB
LOW_END = 0xA0000
SKIPPED = 77
EXIT_VALUE = 21  # what the guest writes to QEMU's exit port

# From the reset vector to the start state. The ROM lies at 4 GiB - 64 KiB.
FIRMWARE = """
        .intel_syntax noprefix
        .set rom, 0xffff0000
        .text
        .code16
base:
begin:  cli
        lgdtd cs:[own_gdtr - base]
        mov eax, cr0
        or eax, 1
        mov cr0, eax
        .byte 0x66, 0xea                # far jump
        .long rom + protected - base
        .word 8
        .code32
protected:
        mov eax, 16
        mov ds, eax
        lgdt [rom + gdtr - base]
{enter}
        mov eax, {data_selector}
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov fs, eax
        mov gs, eax
        mov esi, {rsi}
        mov ebx, {rbx}
        .byte 0xea
        .long {rip}
        .word {code_selector}
        .balign 8
own_gdt:
        .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
own_gdtr:
        .word 23
        .long rom + own_gdt - base
gdtr:   .word {gdt_limit}
        .long {gdt_base}
"""
ENTER_64 = """
        mov eax, 0x20
        mov cr4, eax
        mov eax, {cr3}
        mov cr3, eax
        mov ecx, 0xc0000080
        mov eax, 0x100
        xor edx, edx
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
"""
# The last 16 bytes of the ROM.
RESET = """
        .org 0xfff0
        .code16
        .byte 0xe9
        .word begin - base - 0xfff3
        .org 0x10000
"""


def assemble(state, work):
    enter = ENTER_64.format(**state) if state["mode"] == 64 else ""
    text = FIRMWARE.format(enter=enter, **state)
    source, made, rom = work / "rom.S", work / "rom.o", work / "rom.bin"
    source.write_text(text + RESET)
    subprocess.run(["as", "--32", "-o", made, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", made, rom], check=True)
    return rom


def load(boot_image, way, kernel, initramfs, work):
    """The start state; RAM goes to two files, without the hole of a PC."""
    image = work / "ram.bin"
    append = f"console=ttyS0 ignore_loglevel nokaslr postern.run=port,0xf4,{EXIT_VALUE}"
    out = subprocess.run([boot_image, way, kernel, initramfs, append, str(MEMORY), image],
                         check=True, capture_output=True, text=True).stdout
    with image.open("rb") as ram:
        (work / "low.bin").write_bytes(ram.read(LOW_END))
        ram.seek(MIB)
        (work / "high.bin").write_bytes(ram.read())
    image.unlink()
    return {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", out)}


def main():
    boot_image, kernels, initramfs, flavour, way = sys.argv[1:]
    kernel = Path(kernels, flavour, "vmlinuz")
    qemu = shutil.which("qemu-system-x86_64")
    for needed, there in (("QEMU", qemu), (kernel, kernel.is_file()),
                          (initramfs, Path(initramfs).is_file())):
        if not there:
            print(f"skipped: {needed} is missing")
            sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        state = load(boot_image, way, kernel, initramfs, work)
        rom = assemble(state, work)
        run = subprocess.run(
            [qemu, "-accel", "tcg", "-machine", "pc", "-m", str(MEMORY), "-nodefaults",
             "-display", "none", "-no-reboot", "-bios", rom, "-serial", "stdio",
             "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
             "-device", f"loader,file={work}/low.bin,addr=0,force-raw=on",
             "-device", f"loader,file={work}/high.bin,addr={MIB},force-raw=on"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False)
    print(run.stdout[-3000:], run.stderr)
    wrong = []
    if "postern: init reached" not in run.stdout:
        wrong.append("/init was not reached")
    if run.returncode != EXIT_VALUE << 1 | 1:
        wrong.append(f"status {run.returncode}")
    for line in run.stdout.splitlines():
        if re.search(r"\bWARNING\b|\bBUG\b|Firmware Bug", line):
            wrong.append(line)
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
