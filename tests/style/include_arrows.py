#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes go one way: base <- arch <- {cpu, hv}, cpu <- platform, {hv, platform} <- host <- app.
hv/ knows the processor by hv/port.h alone, and what base/, arch/ and hv/ take from outside the
tree must be there without an operating system."""

import re
import sys
from pathlib import Path

import tree

layers = ["base", "arch", "cpu", "hv", "platform", "host", "app"]
below = {
    "base": {"base"},
    "arch": {"base", "arch"},
    "cpu": {"base", "arch", "cpu"},
    "hv": {"base", "arch", "hv"},
    "platform": {"base", "arch", "cpu", "platform"},
    "host": {"base", "arch", "cpu", "hv", "platform", "host"},
    "app": set(layers) | {"guests"},  # marks and orders, which the demo shares with its guests
}
freestanding = {"base", "arch", "hv"}
freestanding_headers = {
    "algorithm", "array", "bit", "compare", "concepts", "cstddef", "cstdint", "cstring",
    "initializer_list", "iterator", "limits", "optional", "ranges", "span", "string_view",
    "tuple", "type_traits", "utility", "version",
}
quoted = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
angled = re.compile(r"^\s*#\s*include\s*<([^>]+)>")


def layer_of(parts: tuple[str, ...]) -> str | None:
    """The layer whose includes a file may have: its own, or for unit tests the one under test."""
    if parts[:2] == ("tests", "unit"):
        return parts[2]
    return parts[0] if parts[0] in layers else None


def findings_in(path: Path, top: Path) -> list[str]:
    parts = path.relative_to(top).parts
    layer = layer_of(parts)
    if layer not in below:
        return []
    findings = []
    for number, line in enumerate(tree.lines(path), 1):
        where = f"{tree.name(path, top)}:{number}"
        if match := quoted.match(line):
            target = match[1]
            first = target.split("/")[0]
            if "/" not in target or ".." in target:
                findings.append(f"{where}: \"{target}\" is not a path from the tree's root")
            elif first in layers and first not in below[layer]:
                findings.append(f"{where}: {layer}/ may not include {target}")
            elif first not in {*layers, *below[layer]} and parts[0] != "tests":
                findings.append(f"{where}: {layer}/ may not include {target}")
        elif match := angled.match(line):
            if parts[0] in freestanding and match[1] not in freestanding_headers:
                findings.append(f"{where}: {layer}/ is freestanding and may not include <{match[1]}>")
    return findings


def findings(top: Path = tree.root) -> list[str]:
    return [finding for path in tree.files(top) if tree.is_cxx(path)
            for finding in findings_in(path, top)]


if __name__ == "__main__":
    sys.exit(tree.verdict(findings(), "includes"))
