#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the suites of `make test` one after the other and prints what failed, a ledger of time
against budget, and as its last line the sum `N passed, N failed`. Counts are those that ctest
writes into its JUnit report. A suite over its budget is marked; it does not fail the run,
because the budgets are for two idle cores."""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

minute = 60


@dataclass
class Suite:
    name: str
    preset: str
    budget: int
    select: list[str]
    seconds: float = 0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


# Labels are given where a test is added. What has none of the known ones runs under "others";
# "long" is for `make test-long`.
known = "^(unit|style|fuzz|guest|long)$"
suites = [
    Suite("style, refusals, freestanding", "release", 1 * minute, ["-L", "^style$"]),
    Suite("units", "release", 3 * minute, ["-L", "^unit$"]),
    Suite("own guests", "release", 8 * minute, ["-L", "^guest$"]),
    Suite("fuzzers", "release", 7 * minute, ["-L", "^fuzz$"]),
    Suite("others", "release", 2 * minute, ["-LE", known]),
    Suite("under the sanitizers", "asan", 8 * minute, ["-LE", "^(style|no-sanitizer)$"]),
]


def run(suite: Suite) -> None:
    build = Path("build") / suite.preset
    report = (build / "suite.xml").absolute()
    report.unlink(missing_ok=True)
    start = time.monotonic()
    command = ["ctest", "--test-dir", str(build), "--parallel", str(os.cpu_count() or 1),
               "--test-output-size-failed", "65536", "--output-junit", str(report), *suite.select]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    suite.seconds = time.monotonic() - start
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    for case in cases:
        name, skipped = case.get("name", "?"), case.find("skipped")
        if case.get("status") == "run":
            suite.passed += 1
        elif skipped is not None and "SKIP_" in skipped.get("message", ""):
            suite.skipped.append(name)
        else:
            suite.failed.append(name)
            print(f"--- {name} ({suite.name})\n{case.findtext('system-out', '')[-8000:].strip()}")
    if done.returncode != 0 and not suite.failed:
        suite.failed.append(f"ctest itself (status {done.returncode})")
        print((done.stdout + done.stderr)[-8000:])


def print_ledger(build_seconds: int) -> None:
    rows = [("packages and build", build_seconds, 15 * minute, "")]
    for suite in suites:
        count = suite.passed + len(suite.failed) + len(suite.skipped)
        if count:
            rows.append((suite.name, suite.seconds, suite.budget, str(count)))
    print(f"{'suite':<32}{'tests':>6}{'seconds':>9}{'budget':>8}")
    for name, seconds, budget, count in rows:
        over = "  over budget" if seconds > budget else ""
        print(f"{name:<32}{count:>6}{seconds:>9.0f}{budget:>8}{over}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-seconds", type=int, default=0)
    build_seconds = parser.parse_args().build_seconds
    for suite in suites:
        run(suite)
    for suite in suites:
        for name in suite.skipped:
            print(f"skipped: {name} ({suite.name})")
        for name in suite.failed:
            print(f"failed: {name} ({suite.name})")
    print_ledger(build_seconds)
    passed = sum(suite.passed for suite in suites)
    failed = sum(len(suite.failed) for suite in suites)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
