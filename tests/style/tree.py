# SPDX-License-Identifier: Apache-2.0
"""The files of the project, as the checks beside this one see them."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

root = Path(__file__).resolve().parents[2]
left_out = {"build", ".git", ".cache", "__pycache__"}
cxx_suffixes = {".h", ".cpp", ".def"}
source_suffixes = cxx_suffixes | {".c", ".S", ".s", ".asm", ".ld", ".py", ".sh", ".cmake"}
source_names = {"CMakeLists.txt", "Makefile", "run"}


def files(top: Path = root) -> Iterator[Path]:
    for path in sorted(top.iterdir()):
        if path.name in left_out:
            continue
        if path.is_dir():
            yield from files(path)
        elif path.is_file():
            yield path


def is_cxx(path: Path) -> bool:
    return path.suffix in cxx_suffixes


def is_source(path: Path) -> bool:
    return path.suffix in source_suffixes or path.name in source_names


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def name(path: Path, top: Path = root) -> str:
    return path.relative_to(top).as_posix()


def test_names(top: Path = root) -> dict[str, Path]:
    """`Suite.Name` of every GoogleTest in the sources."""
    found = {}
    macro = re.compile(r"^\s*(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)
    for path in files(top / "tests"):
        if path.suffix == ".cpp":
            for suite, test in macro.findall(path.read_text(encoding="utf-8")):
                found[f"{suite}.{test}"] = path
    return found


def verdict(findings: list[str], checked: str) -> int:
    for finding in findings:
        print(finding)
    print(f"{checked}: {len(findings)} found" if findings else f"{checked}: nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit("a module, not a check")
