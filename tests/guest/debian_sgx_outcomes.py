#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Debian's SGX driver makes of each leaf that always meets a conflict, and of exceptions in
enclaves: what our program (guests/sgx) is told, and what the kernel's log says. Each row of ROWS is
written by hand from the kernel's source, Linux 6.1's arch/x86/kernel/cpu/sgx if it says no other
place, and names its functions.

    debian_sgx_outcomes.py POSTERN KERNELS PROGRAM FLAVOUR"""
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from debian import Debian, complaints, with_modules

TIMEOUT = 560
# 2048 pages: the two enclaves of the step `evict` have three times as many.
FIXED = ("--epc", "8M", "--memory", "256M")

BUILD = "create add init map"
SGX2 = "restrict accept-restricted extend augment trim accept-trimmed remove"
ALL = f"{BUILD} load {SGX2} debug-read debug-write evict load close"

# encls.h: a leaf that faults returns its vector with SGX_ENCLS_FAULT_FLAG, 40000000H. What a
# function does with its leaf's fault or error code follows from that.
GP = "1073741837 (0x4000000d)"


@dataclass
class Row:
    conflict: str     # of --sgx-conflict
    steps: str
    last: str         # the line of the step that fails, a pattern; before it all are "ok"
    why: str
    log: tuple = ()   # messages of the kernel's log in the form "NAME returned NUMBER"
    warnings: int = 0
    boot: bool = field(default=False)   # the conflicts are there from the first instruction on


ROWS = (
    Row("", ALL, "close: ok", "nothing fails"),

    # ioctl.c
    Row("ecreate=1", ALL, "create: EIO, 0 bytes done",
        "sgx_encl_create: ret = -EIO for whatever __ecreate returns, without a word in the log"),
    Row("eadd=1", ALL, "add: EIO, 0 bytes done",
        "__sgx_encl_add_page: return ret ? -EIO : 0, without a word"),
    Row("eextend=1", ALL, "add: EIO, 0 bytes done",
        "__sgx_encl_extend: ENCLS_WARN, since encls_failed() is true for all faults but #PF; -EIO. "
        "sgx_encl_add_page has counted the page already and does not take that back: at the end "
        "sgx_encl_release has two WARN_ON_ONCE, for secs_child_cnt and for the SECS",
        (f"EEXTEND returned {GP}",), 3),
    Row("einit=1", ALL, "init: EPERM, 0 bytes done",
        "sgx_encl_init: 50 times 20 tries while it is SGX_UNMASKED_EVENT, a sleep after every 20; "
        "then -EPERM, since that is no fault; a word only for debugging"),
    Row("emodpr=1", ALL, "restrict: EFAULT, result 7, 0 bytes done",
        "sgx_enclave_restrict_permissions: encls_failed(): modp->result = EPC_PAGE_CONFLICT, "
        "-EFAULT"),
    Row("emodpr=1", f"{BUILD} trim accept-trimmed remove", "remove: EPERM, 0 bytes done",
        "sgx_encl_remove_pages: EMODPR of a page that is gone must fault with #PF, else -EPERM"),
    Row("emodt=1", ALL, "trim: EFAULT, result 7, 0 bytes done",
        "sgx_enclave_modify_types: encls_failed(): modt->result = EPC_PAGE_CONFLICT, -EFAULT"),
    Row("etrack=1", ALL, "restrict: EFAULT, 0 bytes done",
        "sgx_enclave_etrack: PREV_TRK_INCMPL, IPIs, once more; pr_err_once both times; -EFAULT. "
        "EMODPR succeeded, so result stays 0",
        ("ETRACK returned 17 (0x11)", "ETRACK repeat returned 17 (0x11)")),

    # encl.c
    Row("epa=1", ALL, "create: EFAULT, 0 bytes done",
        "sgx_alloc_va_page, by sgx_encl_grow, by sgx_encl_create: WARN_ONCE, -EFAULT",
        (f"EPA returned {GP}",), 1),
    Row("eaug=1", ALL, "augment: exception 14, error code 0x4, leaf 3",
        "sgx_encl_eaug_page: VM_FAULT_SIGBUS without a word; do_sigbus asks fixup_vdso_exception "
        "first: the #PF of EACCEPT, and RAX is ERESUME after the AEX"),
    Row("eldu=1", f"{BUILD} load evict load", "load: exception 14, error code 0x6, leaf 2",
        "__sgx_encl_eldu: ENCLS_WARN, -EFAULT; sgx_vma_fault: VM_FAULT_SIGBUS; do_sigbus as above. "
        "EENTER is the first that needs a page, its TCS, which it writes",
        (f"ELDU returned {GP}",), 1),
    Row("eldu=1", f"{BUILD} load evict load-by-hand", "load-by-hand: SIGBUS, code 2",
        "as above without the vDSO: do_sigbus sends SIGBUS, BUS_ADRERR",
        (f"ELDU returned {GP}",), 1),
    Row("edbgrd=1", ALL, "debug-read: EIO, 0 bytes done",
        "sgx_encl_debug_read: -EIO; sgx_vma_access; mem_rw: nothing read, -EIO"),
    Row("edbgwr=1", ALL, "debug-write: EIO, 0 bytes done",
        "sgx_encl_debug_write: -EIO; sgx_vma_access; mem_rw: nothing written, -EIO"),
    Row("eremove=1", ALL, "create: ENOMEM, 0 bytes done",
        "__sgx_sanitize_pages keeps what EREMOVE fails for: WARN_ON in ksgxd after two passes, no "
        "page is free; sgx_alloc_epc_page: none free, none to reclaim: -ENOMEM",
        (), 1, boot=True),
    Row("eremove=0.5", f"{BUILD} load close", "close: ok",
        "ksgxd as above, for a quarter of the pages; sgx_encl_free_epc_page: WARN_ONCE",
        (f"EREMOVE returned {GP} and an EPC page was leaked",), 2, boot=True),

    # main.c: the reclaimer. It does not look at what failed and gives the page to others, whose
    # EADD faults, since the page is still valid: -EIO as above. At the end the SECS has children
    # that the driver does not know of: sgx_encl_free_epc_page, CHILD_PRESENT.
    Row("eblock=1", f"{BUILD} load evict", r"evict: EIO, \d+ bytes done",
        "sgx_reclaimer_block: ENCLS_WARN with ENTRYEPOCH_LOCKED; sgx_encl_ewb: PAGE_NOT_BLOCKED",
        ("EBLOCK returned 15 (0xf)", "EWB returned 10 (0xa)",
         "EREMOVE returned 13 (0xd) and an EPC page was leaked"), 3),
    Row("etrack=1", f"{BUILD} load evict", r"evict: EIO, \d+ bytes done",
        "sgx_encl_ewb: NOT_TRACKED, ENCLS_WARN of ETRACK, NOT_TRACKED, IPIs, NOT_TRACKED, "
        "ENCLS_WARN",
        ("ETRACK returned 17 (0x11)", "EWB returned 11 (0xb)",
         "EREMOVE returned 13 (0xd) and an EPC page was leaked"), 3),
    Row("ewb=1", f"{BUILD} load evict", r"evict: EIO, \d+ bytes done",
        "sgx_encl_ewb: NOT_TRACKED, ETRACK, NOT_TRACKED, IPIs, NOT_TRACKED, ENCLS_WARN",
        ("EWB returned 11 (0xb)", "EREMOVE returned 13 (0xd) and an EPC page was leaked"), 2),

    # traps.c: exc_general_protection asks fixup_vdso_exception first, and sends SIGSEGV else.
    Row("eenter=1", ALL, "load: exception 13, error code 0x0, leaf 2", "EENTER itself"),
    Row("eresume=1", ALL, "load: exception 13, error code 0x0, leaf 3",
        "EENTER's first fetch is a #PF; the AEP's ERESUME"),
    Row("eenter=1", f"{BUILD} load-by-hand", "load-by-hand: SIGSEGV, code 128",
        "gp_user_force_sig_segv: force_sig, SI_KERNEL"),
    Row("eresume=1", f"{BUILD} load-by-hand", "load-by-hand: SIGSEGV, code 128", "as above"),
    # Not the driver's: the enclave is told, or gets a #GP itself.
    Row("eaccept=1", ALL, "accept-restricted: RAX 7", "EPC_PAGE_CONFLICT"),
    Row("emodpe=1", ALL, "extend: exception 13, error code 0x0, leaf 3", "as for ERESUME"),

    # No conflict: exceptions of the enclave's own instructions.
    Row("", f"{BUILD} undefined", "undefined: exception 6, error code 0x0, leaf 3",
        "traps.c, do_trap_no_signal: fixup_vdso_exception"),
    Row("", f"{BUILD} undefined-by-hand", "undefined-by-hand: SIGILL, code 2",
        "traps.c, handle_invalid_op: SIGILL, ILL_OPN"),
    Row("", f"{BUILD} load-nothing", "load-nothing: exception 14, error code 0x4, leaf 3",
        "fault.c, __bad_area_nosemaphore: fixup_vdso_exception; by a user, not present"),
    Row("", f"{BUILD} load-nothing-by-hand", "load-nothing-by-hand: SIGSEGV, code 1",
        "fault.c, __bad_area_nosemaphore: SEGV_MAPERR"),
)

PROMPT = b"which steps? "
SCRIPT = """#!/bin/busybox sh
echo -n "which steps? "
read -r steps
sgx walk $steps
echo "walk: status $?"
"""


class Machine:
    def __init__(self, debian, work):
        self.debian = debian
        self.snapshot = Path(work, "snapshot")
        saved = debian.boot("nokaslr postern.run=check", *FIXED, "--save", self.snapshot,
                            "--save-at", "mark")
        if saved.status != 0:
            sys.exit(f"FAILED: not saved\n{saved.serial[-3000:]}{saved.errors}")

    def run(self, row):
        options = [*FIXED, *(("--sgx-conflict", row.conflict) if row.conflict else ())]
        typed = PROMPT, f"{row.steps}\n".encode()
        if row.boot:
            return self.debian.boot("nokaslr postern.run=check", *options, typed=typed)
        return self.debian.run("--load", self.snapshot, *options, typed=typed)


def wrong_of(row, run):
    words = row.steps.split()
    failing = row.last.partition(":")[0]
    before = len(words) - 1 if words[-1] == failing else words.index(failing)
    steps = re.findall(rf"^((?:{'|'.join(words)}): .*?)\r?$", run.serial, re.MULTILINE)
    if steps[:-1] != [f"{word}: ok" for word in words[:before]]:
        yield f"steps: {steps}"
    if not steps or not re.fullmatch(row.last, steps[-1]):
        yield f"{steps[-1] if steps else 'no step'}; expected: {row.last}"
    log = re.findall(r"^\[ *[\d.]+\] (?:sgx: )?((?:\w+ )+returned \d+ \(0x[0-9a-f]+\)"
                     r"(?: and an EPC page was leaked)?)", run.serial, re.MULTILINE)
    if sorted(log) != sorted(row.log):
        yield f"log: {log}; expected: {list(row.log)}"
    warnings = complaints(run.serial)
    if len(warnings) != row.warnings or any("kernel/cpu/sgx/" not in line for line in warnings):
        yield f"complaints: {warnings}; expected: {row.warnings} of the driver"
    if row.conflict and not re.search(r"^ *[1-9]\d*  conflicts of", run.errors, re.MULTILINE):
        yield "no conflict was met"
    if run.status != 0 or "postern: power off" not in run.serial:
        yield f"status {run.status}"


def main():
    postern, kernels, program, flavour = sys.argv[1:]
    failed = []
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script=SCRIPT, files=[(program, "bin/sgx")])
        machine = Machine(Debian(postern, kernels, made, flavour, TIMEOUT), work)
        for row in ROWS:
            run = machine.run(row)
            wrong = list(wrong_of(row, run))
            print("FAILED" if wrong else "ok", row.conflict or "no conflict", "->", row.last,
                  flush=True)
            if wrong:
                print(run.serial[-3000:], run.errors)
                failed += [f"{row.conflict}, {row.steps}: {text}" for text in wrong]
    if failed:
        sys.exit("FAILED:\n" + "\n".join(failed))


main()
