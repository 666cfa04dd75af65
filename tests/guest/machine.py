# SPDX-License-Identifier: Apache-2.0
"""What the guest's tests share: the image's parts, QEMU, and a debugger's side of its gdb port."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

RUNTIME_BASE = 0x4000_0000_0000
ENCLAVE_BASE = 0x1000_0000_0000
TIMEOUT = 60


def fail(what):
    sys.exit(f"FAILED: {what}")


def expect(right, what):
    if not right:
        fail(what)


def need_qemu():
    if shutil.which("qemu-system-x86_64") is None:
        print("skipped: qemu-system-x86_64 is not installed")
        sys.exit(77)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Image:
    """A guest and the two flat images in it."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.symbols = {}
        for line in run("nm", path).splitlines():
            value, _, name = line.split()
            self.symbols[name] = int(value, 16)
        self.data = self._section(".data")

    def _section(self, wanted):
        for line in run("readelf", "-SW", self.path).splitlines():
            found = re.match(r"\s*\[ *\d+\] (\S+)\s+\S+\s+(\w+) (\w+)", line)
            if found and found[1] == wanted:
                return int(found[2], 16), int(found[3], 16)
        fail(f"{self.path} has no section {wanted}")

    def part(self, name, size=None):
        address, offset = self.data
        start = self.symbols[name] - address + offset
        if size is None:
            size = self.symbols[name + "_end"] - self.symbols[name]
        return self.bytes[start:start + size]

    def kernel_code(self):
        return disassemble(["-d", self.path])

    def flat_code(self, name, base):
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.part(name))
            file.flush()
            return disassemble(["-D", "-b", "binary", "-m", "i386:x86-64",
                                f"--adjust-vma={base:#x}", file.name])

    def enclave_code(self):
        return self.flat_code("enclave_image", ENCLAVE_BASE)

    def runtime_code(self):
        return self.flat_code("runtime_image", RUNTIME_BASE)


def disassemble(arguments):
    """[(address, text)]; text is Intel syntax with single blanks."""
    lines = []
    for line in run("objdump", "-M", "intel", "--no-show-raw-insn", *arguments).splitlines():
        found = re.match(r"\s*([0-9a-f]+):\s+(.*)$", line)
        if found:
            text = re.sub(r"\s+", " ", re.sub(r"[#<].*", "", found[2])).strip()
            lines.append((int(found[1], 16), text))
    return lines


def addresses(code, pattern):
    return [address for address, text in code if re.fullmatch(pattern, text)]


def qemu(image, command_line, *more):
    return ["qemu-system-x86_64", "-accel", "tcg", "-kernel", image, "-append", command_line,
            "-serial", "stdio", "-display", "none", "-monitor", "none", "-nodefaults",
            "-no-reboot", *more]


class Debugger:
    """The few packets of gdb's remote protocol that a test needs."""

    NAMES = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
             *(f"r{n}" for n in range(8, 16)), "rip", "rflags"]
    XMM = 49

    def __init__(self, command):
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "gdb")
        self.machine = subprocess.Popen(
            [*command, "-S", "-gdb", f"unix:{path},server=on,wait=off"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        for _ in range(200):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.05)
        self.buffer = b""
        self.acknowledge = True
        self.ask("QStartNoAckMode")
        self.acknowledge = False
        # Who has not asked for the description may not ask for single registers.
        expect(self.ask("qXfer:features:read:target.xml:0,ffb"), "QEMU describes no registers")

    def ask(self, packet):
        self.send(packet)
        return self.receive()

    def send(self, packet):
        data = packet.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xff))

    def receive(self):
        while True:
            start, end = self.buffer.find(b"$"), self.buffer.find(b"#")
            if 0 <= start < end and len(self.buffer) >= end + 3:
                packet = self.buffer[start + 1:end].decode()
                self.buffer = self.buffer[end + 3:]
                if self.acknowledge:
                    self.socket.sendall(b"+")
                return packet
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return ""
            self.buffer += more

    def ok(self, packet):
        answer = self.ask(packet)
        expect(answer == "OK", f"the debugger's packet {packet[:40]} gets {answer!r}")

    def get(self, name):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{self.NAMES.index(name):x}")), "little")

    def set(self, name, value):
        size = 4 if name == "rflags" else 8
        self.ok(f"P{self.NAMES.index(name):x}={value.to_bytes(size, 'little').hex()}")

    def get_xmm(self, number):
        return bytes.fromhex(self.ask(f"p{self.XMM + number:x}"))

    def set_xmm(self, number, value):
        self.ok(f"P{self.XMM + number:x}={value.hex()}")

    def read(self, address, size):
        data = b""
        while len(data) < size:
            answer = self.ask(f"m{address + len(data):x},{min(1024, size - len(data)):x}")
            expect(not answer.startswith("E"), f"memory at {address:#x} cannot be read")
            data += bytes.fromhex(answer)
        return data

    def write(self, address, data):
        for at in range(0, len(data), 1024):
            part = data[at:at + 1024]
            self.ok(f"M{address + at:x},{len(part):x}:{part.hex()}")

    def number(self, address, size=8):
        return int.from_bytes(self.read(address, size), "little")

    def stop_at(self, address):
        self.ok(f"Z1,{address:x},1")

    def pass_by(self, address):
        self.ok(f"z1,{address:x},1")

    def step(self):
        expect(self.ask("s").startswith("T"), "the machine ended in a single step")

    def go(self):
        """True if the machine stopped again, False if it ended."""
        return self.ask("c").startswith("T")

    def end(self):
        """The machine's output and status, once it has ended."""
        output, _ = self.machine.communicate(timeout=TIMEOUT)
        return output, self.machine.returncode

    def kill(self):
        if self.machine.poll() is None:
            self.machine.kill()
            self.machine.wait()


def values(output):
    """The "@key=value" lines."""
    return dict(line[1:].split("=", 1) for line in output.splitlines() if line.startswith("@"))
