#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast Debian's kernel and the programs of guests/linux/bench.c run on Postern, beside QEMU's
TCG in the same run: time from outside, by the arrival of lines on the serial port.

    guest.py [--rows boot,integer,...] [--repeat 3] [--boots 5] [--only postern|qemu] [--cpu]
             [--markdown]

The machines take turns and never run together; each number is the median over the rounds. The
instructions of a row are what Postern's time-stamp counter counted (one each), on both machines.
--cpu takes the processes' CPU time instead, which says more on a machine with other work to do."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNEL = ROOT / "build/kernels/amd64/vmlinuz"
INITRD = ROOT / "build/bench.cpio"
PROGRAM = ROOT / "build/bench.elf"
POSTERN = ROOT / "build/release/postern"
QEMU = "qemu-system-x86_64"
ROWS = {"boot": "boot to /init", "integer": "integer loop", "sha256": "SHA-256",
        "copy8": "copy by 8 bytes", "chase": "pointer chase, 4 MiB",
        "sse2": "matrix product, SSE2", "avx2": "matrix product, AVX2 and FMA",
        "recursion": "recursion", "indirect": "indirect calls", "rep_long": "REP, long",
        "rep_short": "REP, short", "syscalls": "system calls", "faults": "page faults",
        "pipe": "pipe ping-pong", "fork": "fork", "x87": "x87", "division": "division"}
COMPILE = ("gcc", "-std=gnu17", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-pie",
           "-no-pie", "-fno-strict-aliasing", "-fno-tree-vectorize", "-fno-stack-protector",
           "-fno-tree-loop-distribute-patterns", "-fno-asynchronous-unwind-tables",
           "-fcf-protection=none", "-fno-math-errno", "-Wall", "-Wextra", "-Werror")


def fail(message):
    sys.exit(f"bench: {message}")


def run(*command):
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(error)


def prepare(only):
    if not KERNEL.is_file():
        fail(f"{KERNEL.relative_to(ROOT)} is missing; tools/kernels.sh fetches it")
    if only != "qemu" and not POSTERN.is_file():
        fail(f"{POSTERN.relative_to(ROOT)} is missing; make builds it")
    if only != "postern" and shutil.which(QEMU) is None:
        fail(f"{QEMU} is missing (Debian's qemu-system-x86); --only postern does without")
    run(*COMPILE, "-o", PROGRAM, ROOT / "guests/linux/bench.c")
    run(ROOT / "tools/initramfs.py", "--output", INITRD, "--add", f"{PROGRAM}=bin/bench")


def machine_commands(append):
    return {"postern": [POSTERN, "run", "--bare", "--kernel", KERNEL, "--initrd", INITRD,
                        "--append", append],
            "qemu": [QEMU, "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1G",
                     "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none",
                     "-serial", "stdio", "-kernel", KERNEL, "-initrd", INITRD,
                     "-append", append]}


def cpu_seconds(machine):
    """What all threads of the process have run."""
    nanoseconds = 0
    for task in Path(f"/proc/{machine.pid}/task").iterdir():
        try:
            nanoseconds += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        except OSError:
            pass  # ended in between
    return nanoseconds / 1e9


def serial_lines(machine, by_cpu):
    """(seconds, line) for each line, by the arrival of its last byte."""
    rest = b""
    started = time.monotonic()
    while data := os.read(machine.stdout.fileno(), 65536):
        now = cpu_seconds(machine) if by_cpu else time.monotonic() - started
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield now, line.decode(errors="replace").strip()


class Round:
    """What one run of one machine said: seconds by row, and what its lines carried."""

    def __init__(self):
        self.seconds = {}
        self.checksums = {}
        self.ticks = {}
        self.absent = {}
        self.init_stamp = None
        self.idle = 0.0

    def boot_instructions(self):
        if self.init_stamp is None:
            return None
        return int((self.init_stamp - self.idle) * 1e9)

    def take(self, seconds, line):
        if found := re.fullmatch(r"\[ *([\d.]+)\] Run /init as init process", line):
            self.init_stamp = float(found[1])
        elif line == "postern: init reached":
            self.seconds["boot"] = seconds
        elif found := re.fullmatch(r"([\d.]+) ([\d.]+)", line):
            self.idle = float(found[2])
        elif found := re.fullmatch(r"row (\w+) begin", line):
            self.seconds[found[1]] = -seconds
        elif found := re.fullmatch(r"row (\w+) end (\w{16}) (\w{16})", line):
            self.seconds[found[1]] += seconds
            self.checksums[found[1]] = found[2]
            self.ticks[found[1]] = int(found[3], 16)
        elif found := re.fullmatch(r"row (\w+) absent (.*)", line):
            self.absent[found[1]] = found[2]


def one_round(name, rows, timeout, by_cpu):
    """Boots the machine, runs the rows but "boot", and waits for it to switch itself off."""
    programs = [row for row in rows if row != "boot"]
    work = ["cat,/proc/uptime"]
    if programs:
        work.append(",".join(["bench", *programs]))
    append = f"console=ttyS0 postern.run={';'.join(work)}"
    result = Round()
    log = ROOT / f"build/bench-{name}.log"
    with open(log, "w", encoding="utf-8") as kept, \
            subprocess.Popen(machine_commands(append)[name], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as machine:
        try:
            for now, line in serial_lines(machine, by_cpu):
                print(f"{now:.6f} {line}", file=kept)
                result.take(now, line)
                if now > timeout:
                    fail(f"{name} still runs after {timeout} s; its lines are in {log}")
        finally:
            if machine.poll() is None:
                try:
                    machine.wait(5)
                except subprocess.TimeoutExpired:
                    machine.kill()
    done = {**result.checksums, **result.absent}
    missing = [row for row in programs if row not in done]
    if "boot" not in result.seconds or missing:
        fail(f"{name} ended without {', '.join(missing) or '/init'}; its lines are in {log}")
    return result


def measure(machines, rows, repeat, boots, timeout, by_cpu):
    """Rounds by machine. The machines alternate, and so does which of them begins."""
    rounds = {name: [] for name in machines}
    for number in range(max(repeat, boots if "boot" in rows else 0)):
        now = rows if number < repeat else ["boot"]
        for name in machines if number % 2 == 0 else machines[::-1]:
            print(f"bench: round {number + 1}, {name}", file=sys.stderr)
            rounds[name].append(one_round(name, now, timeout, by_cpu))
    return rounds


class Row:
    """One row over all rounds: a state for the table, or medians."""

    def __init__(self, name, rounds):
        self.name = name
        self.seconds = {machine: sorted(one.seconds[name] for one in all_ if name in one.seconds)
                        for machine, all_ in rounds.items()}
        everyone = [one for all_ in rounds.values() for one in all_]
        sums = {one.checksums[name] for one in everyone if name in one.checksums}
        self.trouble = "BROKEN: the checksums differ" if len(sums) > 1 else None
        for machine, all_ in rounds.items():
            lacking = [one.absent[name] for one in all_ if name in one.absent]
            if lacking:
                self.trouble = f"{machine} has {lacking[0]}"
        ours = rounds.get("postern", [])
        counts = [one.boot_instructions() if name == "boot" else one.ticks.get(name)
                  for one in ours]
        counts = [count for count in counts if count]
        self.instructions = statistics.median(counts) if counts else None

    def median(self, machine):
        seconds = self.seconds.get(machine)
        return statistics.median(seconds) if seconds else None

    def rate(self, machine):
        seconds = self.median(machine)
        return self.instructions / seconds / 1e6 if seconds and self.instructions else None

    def spread(self, machine):
        seconds = self.seconds.get(machine)
        return 100 * (seconds[-1] - seconds[0]) / self.median(machine) if seconds else None

    def ratio(self):
        ours, theirs = self.median("postern"), self.median("qemu")
        return theirs / ours if ours and theirs else None

    def cells(self):
        def text(value, form):
            return form.format(value) if value is not None else "-"
        label = ROWS[self.name]
        if self.trouble:
            label += f" ({self.trouble})"
        count = self.instructions / 1e6 if self.instructions else None
        return [label, text(count, "{:.0f}"),
                text(self.median("postern"), "{:.2f}"), text(self.rate("postern"), "{:.0f}"),
                text(self.spread("postern"), "{:.0f} %"),
                text(self.median("qemu"), "{:.2f}"), text(self.rate("qemu"), "{:.0f}"),
                text(self.spread("qemu"), "{:.0f} %"), text(self.ratio(), "{:.2f}")]


HEADS = ["row", "M instructions", "Postern s", "M/s", "spread", "TCG s", "M/s", "spread",
         "times TCG"]


def print_table(rows, markdown):
    table = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADS))]
    for number, line in enumerate(table):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        print(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells))
        if number == 0 and markdown:
            print("|" + "|".join([" --- ", *[" ---: "] * (len(HEADS) - 1)]) + "|")


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True,
                              cwd=ROOT).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def print_setting():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="ascii"))
    package = (KERNEL.parent / "package").read_text(encoding="ascii").strip()
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    print(f"host {model[1] if model else 'unknown'}, {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f}; commit {commit}")
    print(f"{package}; {first_line(QEMU, '--version')}")
    bochs = shutil.which("bochs")
    print(f"bochs: {bochs} is there, but this driver cannot boot it yet" if bochs
          else "bochs: not installed")
    print("M/s: million guest instructions a second, for both machines those that Postern counted\n"
          "spread: longest less shortest time, over the median\n"
          "times TCG: above 1 Postern is faster")


def main():
    parser = argparse.ArgumentParser(description="Times Debian's kernel on Postern and QEMU TCG.")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of: %(default)s")
    parser.add_argument("--repeat", type=int, default=3, help="rounds with every row")
    parser.add_argument("--boots", type=int, default=5, help="rounds, those with rows included")
    parser.add_argument("--only", choices=("postern", "qemu"), help="one machine alone")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one round")
    parser.add_argument("--cpu", action="store_true", help="CPU time, not the clock")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    for row in rows:
        if row not in ROWS:
            fail(f"there is no row {row}; there are {', '.join(ROWS)}")
    if arguments.repeat < 1:
        fail("--repeat is at least 1")
    prepare(arguments.only)
    machines = [arguments.only] if arguments.only else ["postern", "qemu"]
    print_setting()
    rounds = measure(machines, rows, arguments.repeat, arguments.boots, arguments.timeout,
                     arguments.cpu)
    table = [Row(row, rounds) for row in rows]
    print_table(table, arguments.markdown)
    broken = [row.name for row in table if (row.trouble or "").startswith("BROKEN")]
    if broken:
        fail(f"broken: {', '.join(broken)}")


main()
