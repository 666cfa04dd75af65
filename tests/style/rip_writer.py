#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's RIP has one setter: in hv/ only rip.cpp writes VmcsField::guest_rip, once. A field
that is not named where it is written could hide it, so such writes are counted too: vmcs.cpp has
the tables of the start state, msr.cpp that of the MSRs which are fields, and nested/vmcs02.cpp those
of a nested guest's state; they may not name this field at all."""

import re
import sys
from pathlib import Path

import tree

setter = "hv/rip.cpp"
comment = re.compile(r"//[^\n]*")
call = re.compile(r"\bvmwrite\s*\(\s*([^,]*),")
named = re.compile(r"^VmcsField::\w+$")
# Who may write a field that is not named in the call itself.
tables = {"hv/vmcs.cpp", "hv/msr.cpp", "hv/exit/exit.cpp", "hv/nested/vmcs02.cpp"}
# The other VMCS, that of a nested guest as its hypervisor wrote it, is data.
reads = re.compile(r"\b(?:(?:vmread|read32)\s*\(\s*(?:\w+\s*,\s*)?VmcsField::guest_rip\s*\)"
                   r"|(?:get|set|l1)<VmcsField::guest_rip>)")
alias = re.compile(r"^using (\w+) = VmcsField;", re.MULTILINE)


def writes_in(path: Path, top: Path) -> tuple[list[str], int]:
    name = tree.name(path, top)
    text = comment.sub("", path.read_text(encoding="utf-8"))
    if match := alias.search(text):
        text = re.sub(rf"\b{match[1]}::", "VmcsField::", text)
    found = []
    writes = 0
    for match in call.finditer(text):
        field = match[1].strip()
        if field == "VmcsField::guest_rip":
            writes += 1
            if name != setter:
                found.append(f"{name}: writes the guest's RIP; Vcpu::set_rip does")
        elif not named.match(field) and name not in tables:
            found.append(f"{name}: writes a field that is not named: {field}")
    if "static_cast<VmcsField>" in text:
        found.append(f"{name}: makes a field of a number")
    others = reads.sub("", text).count("VmcsField::guest_rip") - writes
    if others != 0:
        found.append(f"{name}: names VmcsField::guest_rip, and neither reads nor writes it there")
    return found, writes


def findings(top: Path = tree.root) -> list[str]:
    found = []
    writes = 0
    for path in tree.files(top / "hv"):
        if tree.is_cxx(path) and tree.name(path, top) != "hv/port.h":
            here, count = writes_in(path, top)
            found += here
            writes += count if tree.name(path, top) == setter else 0
    if writes != 1:
        found.append(f"{setter}: writes the guest's RIP {writes} times, not once")
    return found


if __name__ == "__main__":
    sys.exit(tree.verdict(findings(), "writers of the guest's RIP"))
