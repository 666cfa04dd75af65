#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/enclave-exits.md is what `postern matrix --markdown` prints now, and every cell of it is as
expected. `--write` makes it so."""

import argparse
import subprocess
import sys
from pathlib import Path

import tree

document = tree.root / "docs" / "enclave-exits.md"


def findings(printed: str, status: int, kept: str) -> list[str]:
    found = []
    if status != 0:
        found.append(f"postern matrix --markdown ends with status {status}")
    if printed != kept:
        found.append("docs/enclave-exits.md is not what postern matrix --markdown prints")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    done = subprocess.run([options.program, "matrix", "--markdown"], capture_output=True,
                          check=False, text=True)
    sys.stderr.write(done.stderr)
    if options.write:
        document.write_text(done.stdout, encoding="utf-8")
    kept = document.read_text(encoding="utf-8") if document.exists() else ""
    return tree.verdict(findings(done.stdout, done.returncode, kept), "docs/enclave-exits.md")


if __name__ == "__main__":
    sys.exit(main())
