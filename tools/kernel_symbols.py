#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an ELF64 file of nothing but symbols from what a kernel says in /proc/kallsyms, for gdb's
symbol-file and for Postern's --symbols. The text is looked for in a serial log, between the lines

    postern: kallsyms begin
    postern: kallsyms end

or, without them, in the whole file.

    kernel_symbols.py LOG build/kernels/FLAVOUR/symbols.elf
"""
import os
import re
import struct
import sys

BEGIN, END = "postern: kallsyms begin", "postern: kallsyms end"
LINE = re.compile(r"^([0-9a-f]{16}) ([A-Za-z]) (\S+)(?:\s+\[(\S+)\])?$")
ABSOLUTE = 0xfff1
KERNEL_HALF = 1 << 63
MODULES = 0xffff_ffff_c000_0000

CODE, DATA = 6, 3  # SHF_ALLOC with SHF_EXECINSTR or SHF_WRITE


def fail(what):
    sys.exit(f"kernel_symbols: {what}")


def between_markers(lines):
    """The last complete stretch between the markers; all lines if there is no marker."""
    if BEGIN not in lines:
        return lines
    begin = len(lines) - 1 - lines[::-1].index(BEGIN)
    if END not in lines[begin:]:
        fail(f"no line {END} follows the last {BEGIN}: the log is cut short")
    return lines[begin + 1:lines.index(END, begin)]


def read_symbols(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip("\r\n") for line in file.read().split("\n")]
    symbols = []
    for line in between_markers([line.rstrip("\r") for line in lines]):
        found = LINE.match(line)
        if found:
            name = f"{found[4]}:{found[3]}" if found[4] else found[3]
            symbols.append((int(found[1], 16), found[2], name))
    if not symbols:
        fail(f"{path}: no line is one of /proc/kallsyms, such as \"ffffffff81000000 T _text\"")
    if all(address == 0 for address, _, _ in symbols):
        fail(f"{path}: every address is 0; read it as root, with kernel.kptr_restrict below 2")
    return sorted(set(symbols))


def sections_of(symbols):
    """(name, start, end, flags), not overlapping: code where the kernel says that it is."""
    at = {name: address for address, _, name in symbols}
    high = [address for address, _, _ in symbols if address >= KERNEL_HALF]
    if not high:
        return []
    end = max(high) + 4096
    cuts = {min(high): DATA}
    for first, last in (("_stext", "_etext"), ("_sinittext", "_einittext")):
        if first in at and last in at and at[first] < at[last]:
            cuts[at[first]] = CODE
            cuts[at[last]] = DATA
    if CODE not in cuts.values():
        cuts[min(high)] = CODE
    if end > MODULES > min(high):
        cuts[MODULES] = CODE
    starts = sorted(cuts)
    found = []
    for start, stop in zip(starts, starts[1:] + [end]):
        kind = ".text" if cuts[start] == CODE else ".data"
        found.append((f"{kind}.{len(found)}" if found else kind, start, stop, cuts[start]))
    return found


def section_index(sections, address):
    for index, (_, start, end, _) in enumerate(sections, 1):
        if start <= address < end:
            return index
    return ABSOLUTE


def next_addresses(symbols):
    """For each symbol where the next one begins, which is where it ends at the latest."""
    addresses = sorted({address for address, _, _ in symbols})
    return dict(zip(addresses, addresses[1:]))


class Strings:
    def __init__(self):
        self.bytes = bytearray(b"\0")

    def add(self, text):
        offset = len(self.bytes)
        self.bytes += text.encode() + b"\0"
        return offset


def symbol_table(symbols, sections, strings):
    """Local symbols first, as ELF wants them; and how many those are."""
    following = next_addresses(symbols)
    local, others = [bytes(24)], []
    for address, kind, name in symbols:
        index = section_index(sections, address)
        end = following.get(address, address + 1)
        end = min(end, address + 4096 if index == ABSOLUTE else sections[index - 1][2])
        is_code = index != ABSOLUTE and sections[index - 1][3] == CODE
        type_ = 0 if index == ABSOLUTE else 2 if is_code else 1
        bind = 0 if kind.islower() else 1
        entry = struct.pack("<IBBHQQ", strings.add(name), bind << 4 | type_, 0, index, address,
                            max(end - address, 1))
        (others if bind else local).append(entry)
    return b"".join(local + others), len(local)


def section_header(name, kind, flags, address, offset, size, link=0, info=0, entry=0):
    return struct.pack("<IIQQQQIIQQ", name, kind, flags, address, offset, size, link, info, 8, entry)


def elf_of(symbols):
    sections = sections_of(symbols)
    names, strings = Strings(), Strings()
    table, local = symbol_table(symbols, sections, strings)
    count = len(sections)
    table_at = 64
    strings_at = table_at + len(table)
    headers = [bytes(64)]
    for name, start, end, flags in sections:
        headers.append(section_header(names.add(name), 8, flags, start, 64, end - start))
    headers.append(section_header(names.add(".symtab"), 2, 0, 0, table_at, len(table),
                                  count + 2, local, 24))
    headers.append(section_header(names.add(".strtab"), 3, 0, 0, strings_at, len(strings.bytes)))
    last = names.add(".shstrtab")
    names_at = strings_at + len(strings.bytes)
    headers.append(section_header(last, 3, 0, 0, names_at, len(names.bytes)))
    headers_at = (names_at + len(names.bytes) + 7) & ~7
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    entry = next((address for address, _, name in symbols if name == "startup_64"), 0)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 0, headers_at, 0, 64, 0, 0,
                                    64, len(headers), len(headers) - 1)
    body = header + table + strings.bytes + names.bytes
    return body + bytes(headers_at - len(body)) + b"".join(headers)


def main():
    if len(sys.argv) != 3:
        fail("usage: kernel_symbols.py LOG SYMBOLS.elf")
    symbols = read_symbols(sys.argv[1])
    output = sys.argv[2]
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    with open(output + ".new", "wb") as file:
        file.write(elf_of(symbols))
    os.replace(output + ".new", output)
    print(f"{output}: {len(symbols)} symbols")


main()
