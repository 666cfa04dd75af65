#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs blue_pill.elf, whose kernel is an L1 hypervisor below itself, bare and hosted, and compares
each exit that L1 sees with what the manual says of it, and one run with the other.

    blue_pill.py BLUE_PILL.elf POSTERN
"""
import hashlib
import subprocess
import sys

from machine import TIMEOUT, expect, values

PAGE = bytes((i * 7 + 3) & 0xff for i in range(4096))
DIGEST = hashlib.sha256(PAGE).hexdigest()
LONG_DIGEST = hashlib.sha256(16 * PAGE).hexdigest()

FROM_ENCLAVE = 1 << 27
ENTRY_FAILED = 1 << 31
NMI_BLOCKING, ENCLAVE_INTERRUPTION = 1 << 3, 1 << 4
NMI_UNBLOCKING = 1 << 12

INTERRUPT, WINDOW, CPUID, RDTSC, PAUSE, EPT, TIMER = 1, 7, 10, 16, 40, 48, 52
RDRAND, ENCLS, RDSEED, BAD_GUEST_STATE = 57, 60, 61, 33
EXCEPTION = 0

UD, DE, PF, GP = 0x80000306, 0x80000300, 0x80000b0e, 0x80000b0d
BP_IN_ENCLAVE, BP_OUTSIDE = 0x80000303, 0x80000603
VECTOR_40 = 0x80000040
NMI = 0x80000202

READ, WRITE, FETCH = 1, 2, 4
ACCESS = READ | WRITE | FETCH
LINEAR = 1 << 7

# Exits inside; the vector of the one event of ring 3, or None; exits outside, and the vector.
# An exit is its reason and what else it must say; "access" are qualification bits 2:0.
# Operand size 64, destination RAX. SDM 3C, "Instruction Information", RDRAND and RDSEED.
INTO_RAX = {"length": 4, "information": 2 << 11}
PAGES = ({"reason": EPT, "access": READ}, {"reason": EPT, "access": READ})
ROWS = {
    "cpuid": ([], 6, [{"reason": CPUID, "length": 2}], None),
    "shared_page": ([PAGES[0]], None, [PAGES[1]], None),
    "read_only_page": ([{"reason": EPT, "access": WRITE}], None,
                       [{"reason": EPT, "access": WRITE}], None),
    "data_page": ([PAGES[0]], None, [PAGES[1]], None),
    "code_page": ([{"reason": EPT, "access": FETCH}], None, [PAGES[1]], None),
    # EENTER's own access: the processor is not in the enclave yet.
    "tcs_page": ([{"reason": EPT, "outside": True, "rax": 2}], None, [PAGES[1]], None),
    "host_shared_page": ([], None, [], None),
    "host_data_page": ([], None, [], None),
    "delivery": ([{"reason": EPT, "access": WRITE, "vectoring": DE, "true_address": True}], 0,
                 [{"reason": EPT, "access": WRITE, "vectoring": DE}], 0),
    "host_delivery": ([], 0, [], 0),
    "timer": ([{"reason": TIMER}], None, [{"reason": TIMER}], None),
    "interrupt": ([{"reason": INTERRUPT, "interruption": VECTOR_40}], None,
                  [{"reason": INTERRUPT, "interruption": VECTOR_40}], None),
    # The window opens before the AEP's first instruction: the enclave has been left by then.
    "interrupt_window": ([{"reason": INTERRUPT, "interruption": VECTOR_40},
                          {"reason": WINDOW, "outside": True, "at_aep": True}], None,
                         [{"reason": INTERRUPT, "interruption": VECTOR_40},
                          {"reason": WINDOW}], None),
    # Saved is what blocks NMIs of the guest, which the NMI that exits does not; and the IRET that
    # would have ended it is none that an enclave can execute. SDM 3C, "Saving Non-Register State",
    # "Information for VM Exits Due to Vectored Events".
    "nmi": ([{"reason": EXCEPTION, "interruption": NMI}], None,
            [{"reason": EXCEPTION, "interruption": NMI}], None),
    "nmi_to_guest": ([], None, None, None),
    "nmis_blocked": ([PAGES[0] | {"blocking": NMI_BLOCKING}], None,
                     [PAGES[1] | {"blocking": NMI_BLOCKING}], None),
    "rdrand": ([{"reason": RDRAND}], None, [{"reason": RDRAND} | INTO_RAX], None),
    "rdseed": ([{"reason": RDSEED}], None, [{"reason": RDSEED} | INTO_RAX], None),
    "pause": ([{"reason": PAUSE}], None, [{"reason": PAUSE, "length": 2}], None),
    "rdtsc": ([{"reason": RDTSC}], None, [{"reason": RDTSC, "length": 2}], None),
    "page_fault": ([{"reason": EXCEPTION, "interruption": PF, "error_code": 4,
                     "qualification": 0x400038000000}], 14,
                   [{"reason": EXCEPTION, "interruption": PF, "error_code": 4,
                     "qualification": 0x400038000123}], 14),
    "protection_fault": ([{"reason": EXCEPTION, "interruption": GP}], 13,
                         [{"reason": EXCEPTION, "interruption": GP}], 13),
    "divide_error": ([{"reason": EXCEPTION, "interruption": DE}], 0,
                     [{"reason": EXCEPTION, "interruption": DE}], 0),
    "breakpoint": ([{"reason": EXCEPTION, "interruption": BP_IN_ENCLAVE, "rbx": 0x10000001c000}],
                   3, [{"reason": EXCEPTION, "interruption": BP_OUTSIDE, "length": 1}], 3),
    "undefined": ([{"reason": EXCEPTION, "interruption": UD}], 6, None, None),
    "device_page": ([PAGES[0]], 6, [PAGES[1]], None),
    "emulated_device": ([PAGES[0]], 6, [PAGES[1]], None),
    "host_device": ([], 6, [], None),
    "host_device_exit": ([{"reason": EXCEPTION, "interruption": UD}], 6, [], None),
    "enter_enclave": (None, None, [{"reason": CPUID, "length": 2}], None),
    "enter_enclave_mov_ss": (None, None, [{"reason": BAD_GUEST_STATE, "failed": True},
                                          {"reason": CPUID, "length": 2}], None),
}
# Who else is below decides what becomes of an enclave's access to a device that L1 lets through.
BY_THE_HOST = ["host_device", "host_device_exit"]
TIMED = ["timer", "interrupt", "interrupt_window", "nmi", "nmi_to_guest"]
NEED_ENCLAVE = ["data_page", "code_page", "tcs_page", "host_data_page"]


def run(postern, guest, *options, command_line="", status=1):
    done = subprocess.run([postern, "run", "--kernel", guest, "--append", command_line,
                           "--max-instructions", "400000000", *options],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    what = f"{' '.join(map(str, options))} \"{command_line}\""
    print(f"--- {what}: status {done.returncode}\n{done.stderr}", end="")
    expect(done.returncode == status, f"{what}: it ends with {done.returncode}\n{done.stdout}")
    return values(done.stdout)


class Exit:
    """One exit as the guest prints it."""

    def __init__(self, said, name):
        self.name = name
        self.fields = {key.rsplit(".", 1)[1]: int(value, 16) for key, value in said.items()
                       if key.startswith(name + ".")}

    def expect(self, field, wanted):
        found = self.fields.get(field)
        expect(found == wanted, f"{self.name}: {field} is {found:#x}, not {wanted:#x}")


def check_addresses(seen, wanted, enclave):
    """EPT violations. SDM 3C, "Basic VM-Exit Information"; low 12 bits clear after an enclave's."""
    if wanted["reason"] != EPT:
        seen.expect("linear", 0)
        seen.expect("physical", 0)
        if "qualification" not in wanted:
            seen.expect("qualification", 0)
        return
    qualification, linear = seen.fields["qualification"], seen.fields["linear"]
    expect(qualification & LINEAR, f"{seen.name}: no linear address")
    expect(not qualification & NMI_UNBLOCKING, f"{seen.name}: an IRET that nobody executed")
    if "access" in wanted:
        expect(qualification & ACCESS == wanted["access"],
               f"{seen.name}: qualification {qualification:#x}")
    offsets = (linear & 4095, seen.fields["physical"] & 4095)
    expect(offsets[0] == offsets[1], f"{seen.name}: two offsets, {offsets}")
    if enclave and not wanted.get("true_address"):
        expect(offsets[0] == 0, f"{seen.name}: page offset {offsets[0]:#x}")


def check_exit(said, seen, wanted, inside):
    """What every exit from an enclave has in common, and none from outside."""
    failed = wanted.get("failed", False)
    enclave = inside and not wanted.get("outside", False)
    flags = (FROM_ENCLAVE if enclave else 0) | (ENTRY_FAILED if failed else 0)
    seen.expect("reason", wanted["reason"] | flags)
    if failed:
        seen.expect("qualification", 0)
        return
    seen.expect("interruptibility",
                wanted.get("blocking", 0) | (ENCLAVE_INTERRUPTION if enclave else 0))
    aep = int(said["aep"], 16)
    at_aep = enclave or wanted.get("at_aep", False)
    expect((seen.fields["rip"] == aep) == at_aep, f"{seen.name}: RIP {seen.fields['rip']:#x}")
    common = {"length": 0, "information": 0, "interruption": 0, "error_code": 0, "vectoring": 0,
              "vectoring_error_code": 0}
    if enclave:
        common |= {"rax": 3, "rbx": int(said["tcs"], 16), "rcx": aep}
    for field, value in common.items():
        seen.expect(field, wanted.get(field, value))
    for field in wanted.keys() & {"rax", "qualification"}:
        seen.expect(field, wanted[field])
    check_addresses(seen, wanted, enclave)


def check_side(said, name, exits, vector, inside):
    side = "" if inside else "outside_"
    count = said.get(f"{name}.{side}exits")
    expect(count == str(len(exits)), f"{name}: {count} exits {side}")
    for number, wanted in enumerate(exits):
        check_exit(said, Exit(said, f"{name}.{side}exit{number}"), wanted, inside)
    events = said[f"{name}.{side}count"]
    expect(events == ("0" if vector is None else "1"), f"{name}: {events} events {side}")
    if vector is not None:
        expect(said[f"{name}.{side}vector"] == str(vector), f"{name}: the vector {side}")
    interrupts = said[f"{name}.{side}interrupts"]
    expect(interrupts == ("1" if name.startswith("interrupt") else "0"),
           f"{name}: {interrupts} interrupts {side}")
    nmis = said[f"{name}.{side}nmis"]
    expect(nmis == ("1" if name == "nmi_to_guest" else "0"), f"{name}: {nmis} NMIs {side}")


def check_inside(said, name):
    exits, vector = ROWS[name][:2]
    check_side(said, name, exits, vector, True)
    expect(said.get(f"{name}.digest") == DIGEST, f"{name}: the enclave's own result")
    if name in TIMED:
        expect(said.get(f"{name}.long_digest") == LONG_DIGEST, f"{name}: the long digest")
    if vector is not None:
        for key in ("rip_is_aep", "synthetic", "xmm_clear"):
            expect(said.get(f"{name}.{key}") == "1", f"{name}: {key}")


def check_build(said, leaves):
    """ECREATE and EINIT, once each."""
    expect(said.get("build.exits") == str(len(leaves)), f"{said.get('build.exits')} ENCLS exits")
    for number, leaf in enumerate(leaves):
        seen = Exit(said, f"build.exit{number}")
        for field, value in {"reason": ENCLS, "interruptibility": 0, "rax": leaf,
                             "length": 3}.items():
            seen.expect(field, value)


def check(said, rows, leaves=(0, 2)):
    expect(said.get("done") == "1", "it does not come to its end")
    check_build(said, leaves)
    named = {key.split(".")[0] for key in said if "." in key} - {"build"}
    expect(named == set(ROWS), f"rows without expectations: {named ^ set(ROWS)}")
    for name in rows:
        if ROWS[name][0] is not None:
            check_inside(said, name)
        if ROWS[name][2] is not None:
            check_side(said, name, *ROWS[name][2:], False)


def table(said):
    """Without how often the enclave was resumed: the host below L1 interrupts it, too."""
    return {key: value for key, value in said.items()
            if not key.endswith(".resumes") and key.split(".")[0] not in BY_THE_HOST}


def expect_same(one, other, what):
    different = [f"{key}: {one.get(key)} and {other.get(key)}"
                 for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    expect(not different, f"{what}:\n" + "\n".join(different))


def check_bare_and_hosted(postern, guest):
    bare = run(postern, guest, "--bare")
    hosted = run(postern, guest)
    check(bare, [name for name in ROWS if name not in BY_THE_HOST])
    check(hosted, ROWS)
    expect_same(table(bare), table(hosted), "bare and hosted differ")
    # Without a hypervisor below, the device answers the enclave.
    for name in BY_THE_HOST:
        expect(bare[f"{name}.exits"] == "0" and bare[f"{name}.count"] == "0", f"{name}: bare")
    return hosted


def check_without_exits(postern, guest, hosted):
    """The same when ECREATE and EINIT are left to whoever is below L1."""
    said = run(postern, guest, command_line="encls=pass")
    check(said, ROWS, leaves=())
    for key in [key for key in hosted if key.startswith("build.")]:
        hosted.pop(key)
    said.pop("build.exits")
    expect_same(table(hosted), table(said), "with and without ENCLS exits")


def check_interrupted(postern, guest, hosted):
    """Whoever else interrupts the enclave, L1's table is the same."""
    for how in ("every=4999", "seed=7"):
        said = run(postern, guest, "--interrupt-enclave", how)
        expect_same(table(hosted), table(said), f"interrupted by {how}")


def check_without_sgx(postern, guest):
    """Of a processor without SGX bit 4 is reserved."""
    for options in (["--bare", "--cpu", "postern-v3,-sgx"], ["--epc", "0"]):
        said = run(postern, guest, *options)
        expect(said["build.exits"] == "0", "ENCLS exits without SGX")
        failed = {"reason": BAD_GUEST_STATE, "failed": True}
        after = {"reason": CPUID, "length": 2}
        for name in ROWS:
            if name in NEED_ENCLAVE or ROWS[name][2] is None:
                continue
            exits, vector = ROWS[name][2:]
            if name.startswith("enter_enclave"):
                exits = [failed, after]
            check_side(said, name, exits, vector, False)


def check_controls(postern, guest):
    """Without the guard the device's access has no end. Without what says that an enclave has
    exited L1 takes the AEP's store for the enclave's load, again and again, and steps into that
    store, after which nobody resumes the enclave; what it undoes without a look at RIP ends well. A
    host without nesting has no L1."""
    said = run(postern, guest, "--without", "guard", command_line="row=host_device", status=11)
    expect(said.get("host_device.livelock") == "1", "without the guard: no livelock")
    said = run(postern, guest, "--without", "pass-on", command_line="row=emulated_device",
               status=11)
    expect(said.get("emulated_device.livelock") == "1", "without pass-on: no livelock")
    said = run(postern, guest, "--without", "pass-on", command_line="row=timer", status=3)
    expect("timer.digest" not in said, "without pass-on: the enclave has a result")
    said = run(postern, guest, "--without", "pass-on", command_line="row=data_page")
    seen = Exit(said, "data_page.exit0")
    for field, value in {"reason": EPT, "interruptibility": 0, "rip": int(said["aep"], 16)}.items():
        seen.expect(field, value)
    expect(said.get("data_page.digest") == DIGEST, "without pass-on: the enclave's own result")
    run(postern, guest, "--no-nested", status=7)


def main():
    guest, postern = sys.argv[1:]
    hosted = check_bare_and_hosted(postern, guest)
    check_interrupted(postern, guest, hosted)
    check_without_exits(postern, guest, dict(hosted))
    check_without_sgx(postern, guest)
    check_controls(postern, guest)


main()
