#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Traces of our own guest, by the program itself: their exits are those that the hypervisor and
the processor counted, and those of a run that was killed are all there but for the last moment."""

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Wrong(Exception):
    pass


def expect(truth: bool, what: str) -> None:
    if not truth:
        raise Wrong(what)


def exits(postern: str, trace: Path, *options: str) -> tuple[str, str]:
    done = subprocess.run([postern, "exits", trace, *options], capture_output=True, text=True,
                          check=False)
    expect(done.returncode == 0, f"postern exits ends with {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def whole_run(postern: str, guest: Path, work: Path) -> int:
    """The same numbers from trace, hypervisor and processor, by reason and flag."""
    trace, stats = work / "whole.trace", work / "stats.json"
    done = subprocess.run([postern, "run", "--kernel", guest, "--memory", "64M", "--epc", "2M",
                           "--serial", "none", "--trace", trace, "--stats", stats],
                          capture_output=True, text=True, check=False)
    expect(done.returncode % 2 == 1, f"the guest ends with {done.returncode}: {done.stderr}")
    shown, said = exits(postern, trace, "--json")
    expect(said == "", f"a whole trace, and: {said}")
    table, counted = json.loads(shown), json.loads(stats.read_text(encoding="utf-8"))
    expect(table["complete"], "the trace has no end")
    expect(table["exits"] == counted["exits"], "the trace and --stats differ")
    expect(table["count"] == counted["counters"]["exits"], "the trace has another number of exits")
    expect(counted["disagreements"] == [], f"{counted['disagreements']}")
    (processor,) = counted["processors"]
    of_trace: dict[str, dict[str, int]] = {}
    for reason, kinds in table["exits"].items():
        for kind, count in kinds.items():
            flag = "enclave" if kind in ("enclave", "delivery") else "outside"
            row = of_trace.setdefault(reason, {})
            row[flag] = row.get(flag, 0) + count
    expect(of_trace == processor["exits"],
           f"trace {of_trace}\nprocessor {processor['exits']}")
    expect(any("enclave" in row for row in of_trace.values()), "no exit was an enclave's")
    listed, _ = exits(postern, trace, "--csv")
    expect(len(listed.splitlines()) == table["count"] + 1, "--csv has another number of exits")
    return table["count"]


def endless_guest(path: Path) -> Path:
    """An ELF64 executable that does nothing but CPUID, at 1 MiB."""
    code = bytes.fromhex("0fa2 ebfc")
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x100000, 64, 0, 0, 64,
                         56, 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0x100000, 0x100000, len(code), 0x1000, 0x1000)
    path.write_bytes((header + load).ljust(0x1000, b"\0") + code)
    return path


def killed_run(postern: str, work: Path) -> int:
    """A guest that never ends, killed once its trace has grown: what is there can be read."""
    trace, guest = work / "killed.trace", endless_guest(work / "endless.elf")
    with subprocess.Popen([postern, "run", "--kernel", guest, "--memory", "64M", "--epc", "2M",
                           "--serial", "none", "--trace", trace], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and running.poll() is None:
            if trace.exists() and trace.stat().st_size > 100_000:
                break
            time.sleep(0.001)
        ended = running.poll() is not None
        os.kill(running.pid, signal.SIGKILL)
    if ended:
        raise Wrong("the guest ended before it could be killed")
    shown, said = exits(postern, trace, "--json")
    table = json.loads(shown)
    expect(not table["complete"], "a killed run's trace has an end")
    expect("the trace has no end" in said, f"it is not said that the trace has no end: {said}")
    expect(table["count"] >= 512, f"only {table['count']} exits are left")
    size = trace.stat().st_size
    lost = size - table["count"] * 152
    expect(lost < 152 * 512 + 4096, f"{lost} of {size} bytes are no exits")
    return table["count"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("guest", type=Path)
    parser.add_argument("postern")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        try:
            whole = whole_run(given.postern, given.guest, work)
            killed = killed_run(given.postern, work)
        except Wrong as wrong:
            print(f"trace: {wrong}")
            return 1
    print(f"trace: {whole} exits as counted by hypervisor and processor; {killed} left of a run "
          "that was killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
