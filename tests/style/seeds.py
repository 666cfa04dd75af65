#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/seeds.md says for every sentence of the two seeds what shows it. Its tables have the
columns `id | sentence | state | tests`; a state is `done` (then at least one test is named),
`open: <which part of which issue>`, or `context` (nothing to show). A test stands in backticks,
as a GoogleTest's Suite.Name or as ctest knows it, and must exist."""

import argparse
import re
import sys
from pathlib import Path

import tree

columns = ["id", "sentence", "state", "tests"]


def ctest_names(build: Path) -> set[str]:
    """Names that configuring has given to ctest; GoogleTests are not among them."""
    names = set()
    for path in build.rglob("CTestTestfile.cmake"):
        names.update(re.findall(r"^add_test\(\[?=*\[?\"?([^\]\"\s]+)", path.read_text(), re.M))
    return names


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def row_findings(row: list[str], known: set[str]) -> list[str]:
    if len(row) != len(columns):
        return [f"{row[0]}: {len(row)} cells instead of {len(columns)}"]
    label, sentence, state, tests = row
    named = re.findall(r"`([^`]+)`", tests)
    found = [f"{label}: no such test: {test}" for test in named if test not in known]
    if not sentence:
        found.append(f"{label}: no sentence")
    if state == "done":
        if not named:
            found.append(f"{label}: done, but no test is named")
    elif state != "context" and not re.fullmatch(r"open: \S.*", state):
        found.append(f"{label}: state '{state}' is none of: done, open: <part>, context")
    return found


def findings(text: str, known: set[str]) -> list[str]:
    found, rows, labels, inside = [], 0, set(), False
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            inside = False
            continue
        row = cells(line)
        if [cell.lower() for cell in row] == columns:
            inside = True
        elif inside and not re.fullmatch(r"[|\s:-]+", line):
            rows += 1
            if row[0] in labels:
                found.append(f"{row[0]}: this id stands twice")
            labels.add(row[0])
            found += row_findings(row, known)
    if rows == 0:
        found.append(f"no table with the columns {' | '.join(columns)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    build = parser.parse_args().build
    seeds = tree.root / "docs" / "seeds.md"
    if not seeds.exists():
        return tree.verdict(["docs/seeds.md does not exist"], "seeds")
    known = set(tree.test_names()) | ctest_names(build)
    return tree.verdict(findings(seeds.read_text(encoding="utf-8"), known), "seeds")


if __name__ == "__main__":
    sys.exit(main())
