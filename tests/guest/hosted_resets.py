#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""resets.elf as a guest that begins anew after a reset: by the port and by a triple fault, on one
processor and on several, from snapshots, for ever; and what goes wrong without the scrub.

    hosted_resets.py RESETS.elf POSTERN"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import TIMEOUT, expect, values

TWO_BOOTS = {"boot": "2", "boot1.enclave": "1", "boot2.enclave": "1", "done": "1"}


class Resets:
    def __init__(self, guest, postern, directory):
        self.guest, self.postern, self.directory = guest, postern, Path(directory)

    def run(self, *options, kernel=True):
        """Status, standard output, standard error."""
        command = [self.postern, "run", *(("--kernel", self.guest) if kernel else ()),
                   "--memory", "64M", *map(str, options)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=TIMEOUT)
        print(f"--- {' '.join(map(str, options))}: status {done.returncode}\n"
              f"{done.stdout}{done.stderr}", end="")
        return done.returncode, done.stdout, done.stderr

    def restart(self, *options):
        return self.run("--on-reset", "restart", *options)


def check_restart(resets):
    for by, words in (("port", "asked for by processor 0"), ("fault", "a triple fault of")):
        status, output, errors = resets.restart("--append", f"by={by}")
        expect(status == 1 and values(output) == TWO_BOOTS, f"by {by} there are no two boots")
        expect(f"the guest begins anew: reset 1: {words}" in errors, f"nothing is said of it: {by}")
    status, output, _ = resets.restart("--cpus", 4, "--append", "boots=5")
    expect(status == 1 and values(output)["boot5.enclave"] == "1", "four processors do not restart")
    status, output, _ = resets.restart("--sgx-conflict", "eremove=0.5")
    expect(status == 1 and values(output) == TWO_BOOTS, "conflicts of the scrub stop the restart")


def check_end(resets):
    status, output, errors = resets.run()
    expect(status == 0 and "the guest asked for a reset" in errors, "a reset is not the end")
    expect(values(output) == {"boot": "1", "boot1.enclave": "1"}, "something follows the reset")
    status, _, errors = resets.run("--append", "by=fault")
    expect(status == 4 and "triple fault" in errors, "a triple fault is not reported")


def check_without_scrub(resets):
    status, output, _ = resets.restart("--without", "epc-scrub")
    expect(status == 7 and "ENCLS[ECREATE]" in output, "without the scrub nothing goes wrong")
    expect("boot2.enclave" not in values(output), "without the scrub there is an enclave")


def check_limit(resets):
    status, _, errors = resets.restart("--append", "boots=1000000", "--max-instructions", 50_000_000)
    expect(status == 124, "a guest that resets for ever has no limit")
    expect(errors.count("begins anew") == 5, "every reset is told of")
    expect("after 50000000 instructions" in errors, "the limit is not that of all boots")


def check_records(resets):
    trace, stats = resets.directory / "trace", resets.directory / "stats"
    resets.restart("--trace", trace, "--stats", stats)
    expect(json.loads(stats.read_text())["resets"] == 1, "the statistics know of no reset")
    exits = [resets.postern, "exits", trace]
    listed = subprocess.run([*exits, "--list"], capture_output=True, text=True, check=True).stdout
    expect(listed.count("-------- reset 1: asked for by processor 0") == 1, "not in the list")
    tables = json.loads(subprocess.run([*exits, "--json"], capture_output=True, check=True).stdout)
    expect(tables["resets"] == 1, "not in the tables")


def state_of(errors):
    return [line for line in errors.splitlines() if line.startswith("state ")]


def check_snapshots(resets):
    """From before the reset, and from the second boot, which needs no kernel any more."""
    file = resets.directory / "snapshot"
    _, whole, errors = resets.restart("--stats")
    instructions = int(errors.split("  instructions")[0].split()[-1])
    for at in (100_000, instructions - 200_000):
        status, first, _ = resets.restart("--save", file, "--save-at", at)
        expect(status == 0, "nothing is saved")
        status, second, again = resets.restart("--load", file, "--stats")
        expect(first + second == whole and state_of(again) == state_of(errors),
               f"from {at} on it goes on as another")
    status, second, again = resets.run("--load", file, "--stats", kernel=False)
    expect(first + second == whole and state_of(again) == state_of(errors),
           "without a kernel the second boot goes on as another")
    status, _, errors = resets.run("--load", file, "--on-reset", "restart", kernel=False)
    expect(status == 2 and "no kernel is given" in errors, "a restart without a kernel is begun")


def check_refusals(resets):
    status, _, errors = resets.restart("--bare")
    expect(status == 2 and errors.count("\n") == 1 and "--bare" in errors, "--bare is not refused")
    status, _, errors = resets.run("--on-reset", "again")
    expect(status == 2 and "end or restart" in errors, "any word will do")


def main():
    with tempfile.TemporaryDirectory() as directory:
        resets = Resets(*sys.argv[1:3], directory)
        for check in (check_restart, check_end, check_without_scrub, check_limit, check_records,
                      check_snapshots, check_refusals):
            check(resets)
    print("ok")


main()
