#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules that hold line by line: every source names its licence, no file names the machine it was
written on, the manual is cited by title (its section numbers change with every edition), and no
line of C++ is far too long (clang-format's limit is 100; tables may go a little over)."""

import re
import sys
from pathlib import Path

import tree

longest_line = 110
licence = "SPDX-License-Identifier: Apache-2.0"
# Spelled in pieces, so that this file does not find itself.
machine_path = re.compile("(?<![\\w.*}])/(?:" + "ro" + "ot/|ho" + "me/\\w|wo" + "rk(?:/|\\b))")
section_number = re.compile(
    r"SDM\b.*?\b\d+\.\d+(?:\.\d+)*\b|\b[Ss]ections? \d+\.\d+|§|\b[Cc]hapter \d+")
binary_suffixes = {".bin", ".png", ".gz", ".zst", ".o", ".elf", ".pem", ".der"}


def findings_in(path: Path, top: Path) -> list[str]:
    if path.suffix in binary_suffixes or path.name == "LICENSE":
        return []
    name = tree.name(path, top)
    text = tree.lines(path)
    found = []
    if tree.is_source(path) and not any(licence in line for line in text[:3]):
        found.append(f"{name}: no SPDX line among the first three")
    for number, line in enumerate(text, 1):
        if machine_path.search(line):
            found.append(f"{name}:{number}: names a path of one machine: {line.strip()}")
        if not tree.is_cxx(path):
            continue
        if len(line) > longest_line:
            found.append(f"{name}:{number}: {len(line)} columns, at most {longest_line}")
        if section_number.search(line):
            found.append(f"{name}:{number}: cite the manual by title, not by number: {line.strip()}")
    return found


def findings(top: Path = tree.root) -> list[str]:
    return [finding for path in tree.files(top) for finding in findings_in(path, top)]


if __name__ == "__main__":
    sys.exit(tree.verdict(findings(), "house rules"))
