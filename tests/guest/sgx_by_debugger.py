#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs first_light.elf in QEMU, which has no SGX; a debugger (this program) does what ENCLS, ENCLU
and an asynchronous exit would do, at breakpoints. So kernel, runtime, enclave and SIGSTRUCT are
checked by something that shares no line with them or with our processor, written from the
manual's pseudo-code: a wrong row is then the processor's or the hypervisor's fault.

    sgx_by_debugger.py FIRST_LIGHT.elf rows|ud_again|livelock
"""
import hashlib
import struct
import sys

from machine import (ENCLAVE_BASE, Debugger, Image, addresses, expect, fail, need_qemu, qemu,
                     values)

PAGE = 4096
EPC, EPC_SIZE = 0x1_4000_0000, 16 << 20
GPRS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)),
        "rflags", "rip"]
GPRSGX_SIZE = 184
URSP, XMM_IN_FRAME = 144, 160
STATUS_FLAGS = 0x8d5 | 1 << 16
PT_SECS, PT_TCS, PT_REG = 0, 1, 2
PATTERN = bytes((i * 7 + 3) & 0xff for i in range(PAGE))
UNTRUSTED_LINEAR = 0x4000_1000_0000


def little(data):
    return int.from_bytes(data, "little")


def check_sigstruct(sigstruct):
    """Returns MRENCLAVE, MRSIGNER. SDM 3D, "EINIT"."""
    header = bytes.fromhex("06000000E10000000000010000000000")
    header2 = bytes.fromhex("01010000600000006000000001000000")
    expect(sigstruct[0:16] == header and sigstruct[24:40] == header2, "SIGSTRUCT headers")
    expect(little(sigstruct[16:20]) in (0, 0x8086), "SIGSTRUCT.VENDOR")
    for start, end in ((44, 128), (910, 912), (992, 1008), (1028, 1040)):
        expect(not any(sigstruct[start:end]), f"SIGSTRUCT's reserved bytes from {start}")
    modulus, signature = little(sigstruct[128:512]), little(sigstruct[516:900])
    expect(little(sigstruct[512:516]) == 3, "SIGSTRUCT.EXPONENT")
    digest = hashlib.sha256(sigstruct[0:128] + sigstruct[900:1028]).digest()
    algorithm = bytes.fromhex("3031300d060960864801650304020105000420")
    padding = 384 - 3 - len(algorithm) - len(digest)
    encoded = b"\x00\x01" + b"\xff" * padding + b"\x00" + algorithm + digest
    expect(pow(signature, 3, modulus) == int.from_bytes(encoded, "big"), "SIGSTRUCT.SIGNATURE")
    q1 = signature ** 2 // modulus
    q2 = (signature ** 3 - q1 * signature * modulus) // modulus
    expect(little(sigstruct[1040:1424]) == q1, "SIGSTRUCT.Q1")
    expect(little(sigstruct[1424:1808]) == q2, "SIGSTRUCT.Q2")
    return sigstruct[960:992], hashlib.sha256(sigstruct[128:512]).digest()


class Sgx:
    """One enclave, one thread. Memory is read and written as the guest's linear addresses."""

    def __init__(self, debugger, image):
        self.at = debugger
        self.pml4 = image.symbols["kernel_pml4"]
        self.launch_key = bytearray(32)
        self.pages = {}  # physical -> (type, linear, flags)
        self.window = {}  # physical -> where ring 0 sees it
        self.initialised = False
        self.inside = None
        self.exits = 0

    def entry(self, linear):
        """The entries of all levels that translate `linear`."""
        table, entries = self.pml4, []
        for shift in (39, 30, 21, 12):
            value = self.at.number(table + (linear >> shift & 511) * 8)
            entries.append(value)
            if not value & 1 or value & 0x80:
                break
            table = value & 0x000f_ffff_ffff_f000
        return entries

    def physical(self, linear):
        value = self.entry(linear)[-1]
        expect(value & 1, f"{linear:#x} is not mapped")
        return (value & 0x000f_ffff_ffff_f000) | linear & 0xfff

    def epc_page(self, linear):
        expect(linear % PAGE == 0, f"EPC operand {linear:#x} is not aligned")
        physical = self.physical(linear)
        expect(EPC <= physical < EPC + EPC_SIZE, f"{linear:#x} is not in the EPC")
        return physical

    def page_info(self, address):
        expect(address % 32 == 0, "PAGEINFO is not aligned")
        linear, source, secinfo, secs = struct.unpack("<4Q", self.at.read(address, 32))
        expect(source % PAGE == 0 and secinfo % 64 == 0, "PAGEINFO's pointers are not aligned")
        information = self.at.read(secinfo, 64)
        expect(not any(information[2:]) and information[0] < 8, "SECINFO's reserved bits")
        return linear, self.at.read(source, PAGE), little(information[0:8]), secs

    def take(self, linear, kind, address, flags):
        physical = self.epc_page(linear)
        expect(physical not in self.pages, f"EPC page {physical:#x} is in use")
        self.pages[physical] = (kind, address, flags)
        self.window[physical] = linear

    def update(self, *parts):
        block = b"".join(parts)
        self.hash.update(block + bytes(-len(block) % 64))

    def ecreate(self):
        linear, secs, flags, owner = self.page_info(self.at.get("rbx"))
        expect(linear == 0 and owner == 0 and flags == PT_SECS << 8, "ECREATE's PAGEINFO")
        self.size, self.base, frame, misc = struct.unpack("<QQII", secs[0:24])
        attributes, xfrm = struct.unpack("<QQ", secs[48:64])
        expect(self.size >= 2 * PAGE and self.size & (self.size - 1) == 0, "SECS.SIZE")
        expect(self.base == ENCLAVE_BASE and self.base % self.size == 0, "SECS.BASEADDR")
        expect(frame == 1 and misc == 0 and attributes == 4 and xfrm == 3, "SECS's attributes")
        expect(not any(secs[24:48]) and not any(secs[64:]), "SECS's reserved bytes")
        self.take(self.at.get("rcx"), PT_SECS, 0, 0)
        self.secs = self.at.get("rcx")
        self.at.write(self.secs, secs)
        self.hash = hashlib.sha256()
        self.update(b"ECREATE\0", struct.pack("<IQ", frame, self.size), bytes(44))

    def eadd(self):
        linear, content, flags, secs = self.page_info(self.at.get("rbx"))
        kind = flags >> 8
        expect(secs == self.secs and not self.initialised, "EADD's SECS")
        expect(kind in (PT_TCS, PT_REG) and linear % PAGE == 0, "EADD's SECINFO")
        expect(self.base <= linear < self.base + self.size, "EADD outside the enclave")
        expect(not flags & 2 or flags & 1, "EADD of a page that is writable only")
        if kind == PT_TCS:
            flags &= ~7
            used = {*range(16, 24), *range(28, 40), *range(48, 72)}
            expect(not any(b for i, b in enumerate(content) if i not in used), "TCS's reserved")
            expect(all(v[0] != PT_TCS for v in self.pages.values()), "a second TCS")
            self.tcs = linear
        self.take(self.at.get("rcx"), kind, linear, flags)
        self.at.write(self.at.get("rcx"), content)
        self.update(b"EADD\0\0\0\0", struct.pack("<QQ", linear - self.base, flags), bytes(40))

    def eextend(self):
        expect(self.at.get("rbx") == self.secs, "EEXTEND's SECS")
        linear = self.at.get("rcx")
        expect(linear % 256 == 0, "EEXTEND's chunk is not aligned")
        _, address, _ = self.pages[self.epc_page(linear & ~0xfff)]
        self.update(b"EEXTEND\0", struct.pack("<Q", address - self.base + linear % PAGE), bytes(48))
        self.update(self.at.read(linear, 256))

    def einit(self):
        sigstruct, secs, token = (self.at.get(name) for name in ("rbx", "rcx", "rdx"))
        expect(sigstruct % PAGE == 0 and token % 512 == 0 and secs == self.secs, "EINIT's operands")
        expect(not any(self.at.read(token, 304)), "EINITTOKEN is not zero")
        sigstruct = self.at.read(sigstruct, 1808)
        mrenclave, mrsigner = check_sigstruct(sigstruct)
        expect(mrenclave == self.hash.digest(), "SIGSTRUCT.ENCLAVEHASH is not MRENCLAVE")
        expect(mrsigner == bytes(self.launch_key), "IA32_SGXLEPUBKEYHASH is not MRSIGNER")
        for value, mask, secs in ((928, 944, 48), (936, 952, 56)):
            bits = little(sigstruct[mask:mask + 8])
            have = self.at.number(self.secs + secs)
            expect(little(sigstruct[value:value + 8]) & bits == have & bits, "ATTRIBUTES")
        self.initialised = True
        self.at.set("rax", 0)
        self.at.set("rflags", self.at.get("rflags") & ~0x8d5)

    def encls(self):
        leaf = self.at.get("rax") & 0xffff_ffff
        {0: self.ecreate, 1: self.eadd, 2: self.einit, 6: self.eextend}[leaf]()
        self.at.set("rip", self.at.get("rip") + 3)

    def check_mappings(self):
        for physical, (kind, linear, _) in self.pages.items():
            if kind != PT_SECS:
                entries = self.entry(linear)
                expect(self.physical(linear) == physical, f"{linear:#x} maps another EPC page")
                expect(all(e & 4 for e in entries), f"{linear:#x} is not a user page")

    def thread(self, offset, size=8):
        return self.at.number(self.tcs + offset, size)

    def set_thread(self, offset, value, size=8):
        self.at.write(self.tcs + offset, value.to_bytes(size, "little"))

    def frame(self, number):
        """The frame's address and that of its GPRSGX."""
        start = self.base + self.thread(16) + number * PAGE
        for linear in (start, self.tcs):
            expect(self.physical(linear) in self.pages, f"{linear:#x} is not in the EPC")
        return start, start + PAGE - GPRSGX_SIZE

    def eenter(self):
        expect(self.initialised and self.at.get("rbx") == self.tcs, "EENTER's TCS")
        self.check_mappings()
        cssa = self.thread(24, 4)
        expect(cssa < self.thread(28, 4), "EENTER without a free SSA frame")
        _, registers = self.frame(cssa)
        self.at.write(registers + URSP, struct.pack("<QQ", self.at.get("rsp"), self.at.get("rbp")))
        self.set_thread(40, self.at.get("rcx"))
        self.at.set("rcx", self.at.get("rip") + 3)
        self.at.set("rax", cssa)
        self.at.set("rip", self.base + self.thread(32))
        self.inside = cssa

    def eresume(self):
        expect(self.at.get("rbx") == self.tcs, "ERESUME's TCS")
        cssa = self.thread(24, 4)
        expect(cssa > 0, "ERESUME without a saved frame")
        self.set_thread(24, cssa - 1, 4)
        self.set_thread(40, self.at.get("rcx"))
        start, registers = self.frame(cssa - 1)
        for i, name in enumerate(GPRS):
            self.at.set(name, self.at.number(registers + 8 * i))
        for i in range(16):
            self.at.set_xmm(i, self.at.read(start + XMM_IN_FRAME + 16 * i, 16))
        self.inside = cssa - 1

    def eexit(self):
        for i in range(8, 16):
            expect(self.at.get(f"r{i}") == 0, f"the enclave leaves R{i} as it was")
        for i in range(16):
            expect(not any(self.at.get_xmm(i)), f"the enclave leaves XMM{i} as it was")
        self.at.set("rcx", self.thread(40))
        self.at.set("rip", self.at.get("rbx"))
        self.inside = None

    def enclu(self):
        leaf = self.at.get("rax") & 0xffff_ffff
        if self.inside is None:
            {2: self.eenter, 3: self.eresume}[leaf]()
        else:
            {4: self.eexit}[leaf]()

    def aex(self):
        """What any exit does to an enclave; the registers outside are the synthetic ones, XMM
        filled with rubbish so that a value lost shows."""
        start, registers = self.frame(self.inside)
        for i, name in enumerate(GPRS):
            self.at.write(registers + 8 * i, self.at.get(name).to_bytes(8, "little"))
        for i in range(16):
            self.at.write(start + XMM_IN_FRAME + 16 * i, self.at.get_xmm(i))
            self.at.set_xmm(i, bytes([0xa0 + i] * 16))
        aep = self.thread(40)
        for name in ["rdx", "rsi", "rdi", *(f"r{n}" for n in range(8, 16))]:
            self.at.set(name, 0)
        outside = struct.unpack("<QQ", self.at.read(registers + URSP, 16))
        for name, value in (("rax", 3), ("rbx", self.tcs), ("rcx", aep), ("rip", aep),
                            ("rsp", outside[0]), ("rbp", outside[1]),
                            ("rflags", self.at.get("rflags") & ~STATUS_FLAGS)):
            self.at.set(name, value)
        self.set_thread(24, self.inside + 1, 4)
        self.inside = None
        self.exits += 1
        return aep


class Run:
    def __init__(self, path, scenario):
        image = Image(path)
        self.scenario = scenario
        self.at = Debugger(qemu(
            path, "rows=3" if scenario != "rows" else "rows=1,2,3",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-m", "64M,slots=1,maxmem=8G",
            "-object", "memory-backend-ram,id=epc,size=16M",
            "-device", f"pc-dimm,memdev=epc,addr={EPC:#x}"))
        self.sgx = Sgx(self.at, image)
        self.marks = []
        self.covered = []  # bytes under the UD2 that stands at the AEP
        self.touches = 0
        self.interruptions = 0
        self.handlers = {}
        kernel, runtime, enclave = image.kernel_code(), image.runtime_code(), image.enclave_code()
        self.on(addresses(kernel, "encls"), 1, self.sgx.encls)
        self.on(addresses(kernel, "cpuid"), 1, self.cpuid)
        # Those of EFER are QEMU's own business.
        self.on(addresses(kernel, "rdmsr"), 1, self.rdmsr)
        self.on(addresses(kernel, "wrmsr"), 1, self.wrmsr)
        self.on(addresses(kernel, "out dx,eax"), 1, self.out)
        self.on(addresses(runtime, "enclu") + addresses(enclave, "enclu"), 3, self.enclu)
        accesses = [*addresses(enclave, r"mov eax,DWORD PTR \[rdi(\+0x40)?\]"),
                    *addresses(enclave, r"mov DWORD PTR \[rdi(\+0x40)?\],eax")]
        expect(len(accesses) == 4, f"the enclave has {len(accesses)} accesses to the doorbell")
        self.on(accesses, 4, self.touch)
        if scenario == "rows":
            self.on(addresses(enclave, r"paddd xmm\d+,XMMWORD.*")[:1], 1, self.interrupt)

    def on(self, places, at_least, handler):
        expect(len(places) >= at_least, f"no instruction for {handler.__name__}")
        for place in places:
            self.handlers[place] = handler
            self.at.stop_at(place)

    def execute(self):
        """Lets QEMU execute the instruction at the breakpoint itself."""
        place = self.at.get("rip")
        self.at.pass_by(place)
        self.at.step()
        self.at.stop_at(place)

    def cpuid(self):
        leaf, subleaf = self.at.get("rax"), self.at.get("rcx")
        answer = {(0, 0): (0x12, 0, 0, 0), (7, 0): (0, 4, 0, 0),
                  (0x12, 0): (1, 0, 0, 0x241f),
                  (0x12, 2): (EPC & 0xffff_f000 | 1, EPC >> 32, EPC_SIZE & 0xffff_f000 | 1,
                              EPC_SIZE >> 32)}[leaf, subleaf]
        for name, value in zip(("rax", "rbx", "rcx", "rdx"), answer):
            self.at.set(name, value)
        self.at.set("rip", self.at.get("rip") + 2)

    def rdmsr(self):
        if self.at.get("rcx") != 0x3a:
            return self.execute()
        self.at.set("rax", 1 | 1 << 17 | 1 << 18)
        self.at.set("rdx", 0)
        self.at.set("rip", self.at.get("rip") + 2)

    def wrmsr(self):
        number = self.at.get("rcx")
        if not 0x8c <= number <= 0x8f:
            return self.execute()
        at = (number - 0x8c) * 8
        low, high = self.at.get("rax"), self.at.get("rdx")
        value = struct.pack("<II", low & 0xffff_ffff, high & 0xffff_ffff)
        self.sgx.launch_key[at:at + 8] = value
        self.at.set("rip", self.at.get("rip") + 2)

    def out(self):
        if self.at.get("rdx") & 0xffff == 0xf5:
            self.marks.append(self.at.get("rax") & 0xffff_ffff)
            self.execute()
        else:
            self.at.pass_by(self.at.get("rip"))  # it ends the machine

    def enclu(self):
        self.uncover()
        if self.scenario == "livelock" and self.sgx.inside is None and self.touches > 3:
            return self.nearly_reach_the_limit()
        if self.sgx.inside is None and self.at.get("rax") == 2 and self.at.get("rdi") == 1:
            self.check_untouched()
        self.sgx.enclu()

    def check_untouched(self):
        entries = self.sgx.entry(UNTRUSTED_LINEAR)
        expect(not entries[-1] & 0x20, "the untrusted page was touched before the enclave did it")
        identity = self.sgx.entry(self.sgx.physical(UNTRUSTED_LINEAR))
        expect(not identity[-1] & 0x20, "the untrusted page was touched through the identity map")
        self.untrusted = self.sgx.physical(UNTRUSTED_LINEAR)

    def interrupt(self):
        self.interruptions += 1
        if self.interruptions % 9 == 0:
            return self.sgx.aex()
        return self.execute()

    def touch(self):
        if self.sgx.inside is None:
            return self.execute()
        self.touches += 1
        aep = self.sgx.aex()
        if self.scenario == "livelock":
            self.at.set("rip", aep + 4)  # as if the store at the AEP had been emulated
            return None
        self.cover(aep)
        return None

    def cover(self, aep):
        """The #UD that the hypervisor injects: UD2 stands at the AEP until the next ENCLU."""
        self.covered.append((aep, self.at.read(aep, 2)))
        self.at.write(aep, b"\x0f\x0b")

    def uncover(self):
        if self.scenario == "ud_again" and self.at.get("rax") == 3:
            fail("the runtime resumes after a second #UD for one access")
        while self.covered and self.scenario != "ud_again":
            self.at.write(*self.covered.pop())

    def nearly_reach_the_limit(self):
        """Sets the counter that the AEP increments to one below its limit."""
        aep = self.sgx.thread(40)
        code = self.at.read(aep + 4, 7)
        expect(code[0:3] == b"\x48\xff\x05", "the AEP does not count")
        counter = aep + 11 + struct.unpack("<i", code[3:7])[0]
        self.at.write(counter, (self.at.get("rdx") - 1).to_bytes(8, "little"))
        self.sgx.enclu()

    def to_the_end(self):
        try:
            while self.at.go():
                place = self.at.get("rip")
                expect(place in self.handlers, f"stopped at {place:#x}, where nothing is to do")
                self.handlers[place]()
            return self.at.end()
        finally:
            self.at.kill()


def check_rows(run, output, status):
    got = values(output)
    data = hashlib.sha256(PATTERN).hexdigest()
    wanted = {"row1.digest": data, "row2.untrusted_digest": hashlib.sha256(bytes(PAGE)).hexdigest(),
              "row2.epc_digest": data, "row3.digest": data, "row3.ud_count": "4",
              "row3.ud_rip_is_aep": "1", "row3.refused": "4", "done": "1",
              "row2.untrusted_page": f"{run.untrusted:x}"}
    for key, value in wanted.items():
        expect(got.get(key) == value, f"@{key} is {got.get(key)}, not {value}")
    expect("row3.ud_again" not in got, "@row3.ud_again")
    expect("row3.outside_load0" in got and "row3.outside_load40" in got, "the outside loads")
    page = int(got["row2.data_page"], 16)
    expect(run.sgx.pages[page][1] == run.sgx.base + 0x8000, "@row2.data_page")
    rows = [0xf0000001, 0xf1000001, 0xf0000002, page >> 12, 0xf1000002, 0xf0000003, 0xf1000003]
    expect(run.marks == rows, f"marks {[hex(m) for m in run.marks]}")
    expect(run.touches == 4 and run.sgx.exits > 100, f"{run.sgx.exits} exits")
    expect(status == 1, f"status {status}")


def check_ud_again(_, output, status):
    expect(values(output).get("row3.ud_again") == "1", "no @row3.ud_again")
    expect(status == 3, f"status {status}")


def check_livelock(_, output, status):
    expect(values(output).get("row3.livelock") == "1", "no @row3.livelock")
    expect(status == 11, f"status {status}")


def main():
    need_qemu()
    path, scenario = sys.argv[1:]
    check = {"rows": check_rows, "ud_again": check_ud_again, "livelock": check_livelock}[scenario]
    run = Run(path, scenario)
    output, status = run.to_the_end()
    print(output, end="")
    check(run, output, status)
    print(f"ok: {scenario}, {run.sgx.exits} asynchronous exits, status {status}")


main()
