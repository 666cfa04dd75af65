#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel to its end, again and again: by whatever way it gets there, it prints the same
bytes, takes the same number of instructions, and leaves the machine in the same state.

    debian_determinism.py POSTERN KERNELS INITRAMFS FLAVOUR PROCESSORS all-one-page|short|LOOP

LOOP is another build of the program, whose interpreter is a plain loop; only that is compared."""
import os
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, Debian
from machine import expect

MIDDLE = 700_000_003  # in the middle of a turn of 10,000 instructions, and of a block
SHORT = 2_000_000     # for an engine that makes every block anew
LIMIT_REACHED = 124


class Machine:
    def __init__(self, debian, processors):
        self.debian = debian
        self.fixed = ("--cpus", processors)

    def boot(self, *options, program=None):
        return self.debian.boot("nokaslr", *self.fixed, *options, program=program)

    def load(self, snapshot, *options, program=None):
        return self.debian.run(*self.fixed, "--load", snapshot, *options, program=program)


def expect_same(run, first, how, printed_before=""):
    expect(run.end() == first.end(), f"{how}: {run.end()}, not {first.end()}\n{run.errors}")
    expect(printed_before + run.serial == first.serial, f"{how}: other words are printed")
    print("same:", how)


def through_snapshots(machine, first, work):
    """Saved in the middle, again at the mark, and to the end; the two snapshots and what was
    printed before each."""
    middle, mark = work / "middle", work / "mark"
    begin = machine.boot("--save", middle, "--save-at", MIDDLE)
    expect(begin.status == 0 and begin.instructions == MIDDLE, f"not saved: {begin.errors}")
    further = machine.load(middle, "--save", mark, "--save-at", "mark")
    expect(further.status == 0 and "init reached" in further.serial,
           f"not saved at the mark: {further.errors}")
    printed = begin.serial + further.serial
    expect_same(machine.load(mark), first, "through two snapshots", printed)
    return middle, mark, printed


def stretch(machine, snapshot, *options):
    run = machine.load(snapshot, "--max-instructions", MIDDLE + SHORT, *options)
    expect(run.status == LIMIT_REACHED, run.errors)
    return run


def compare_ways(machine, one_page):
    first = machine.boot()
    expect(first.status == 0 and "postern: power off" in first.serial, first.errors)
    expect_same(machine.boot(), first, "the same command")
    expect_same(machine.boot("--engine", "no-chaining"), first, "without chaining")
    with tempfile.TemporaryDirectory() as name:
        middle, mark, printed = through_snapshots(machine, first, Path(name))
        expect_same(stretch(machine, middle, "--engine", "one-page"), stretch(machine, middle),
                    "a stretch of the boot with one page of cached code")
        if one_page == "all-one-page":
            expect_same(machine.load(mark, "--engine", "one-page"), first,
                        "from the mark with one page of cached code", printed)


def compare_builds(machine, loop):
    if not os.path.isfile(loop):
        print(f"skipped: {loop} is missing; tools/build.sh loop postern builds it")
        sys.exit(SKIPPED)
    expect_same(machine.boot(program=loop), machine.boot(), "by a plain loop")


def main():
    *places, flavour, processors, how = sys.argv[1:]
    machine = Machine(Debian(*places, flavour), processors)
    if how in ("all-one-page", "short"):
        compare_ways(machine, how)
    else:
        compare_builds(machine, how)


main()
