#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the initial file system of Debian kernels under test: Debian's static busybox, the /init
of guests/linux, and a program that writes to an I/O port. The same input gives the same bytes.

    initramfs.py [--output build/initramfs.cpio] [--add FILE[=PATH[:MODE]] ...]
                 [--module "NAME [PARAMETER=VALUE ...]" ...] [--modules build/kernels/amd64/modules]

writes OUTPUT (newc, uncompressed) and OUTPUT.gz. /init loads the modules, and what they depend on
before them, in this order."""

import argparse
import gzip
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUSYBOX = ROOT / "build/kernels/busybox"
MODULES = ROOT / "build/kernels/amd64/modules"
# What a module's "depends" does not say: these find their device only over PCI.
TRANSPORT = {"virtio_blk": ["virtio_pci"], "virtio_console": ["virtio_pci"]}
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sbin", "sys", "tmp")
# Before devtmpfs is mounted, /init's output needs a console: (path, major, minor).
DEVICES = (("dev/console", 5, 1), ("dev/null", 1, 3))


class Archive:
    """A cpio archive in the format newc. Times are zero, owners root, inodes counted."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self.pad(4)
        self.data += content
        self.pad(4)

    def pad(self, to):
        self.data += bytes(-len(self.data) % to)

    def finish(self):
        self.inode = -1  # the trailer's is 0
        self.add("TRAILER!!!", 0)
        self.pad(512)
        return bytes(self.data)


def fail(message):
    sys.exit(f"initramfs: {message}")


def assemble(source):
    """A static program from one assembly file."""
    with tempfile.TemporaryDirectory() as work:
        made, program = Path(work, "program.o"), Path(work, "program")
        for command in (("as", "--64", "-o", made, source),
                        ("ld", "-static", "-s", "--build-id=none", "-o", program, made)):
            try:
                subprocess.run(command, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                fail(f"{source.name}: {error}")
        return program.read_bytes()


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def added_file(argument):
    """FILE[=PATH[:MODE]]: its path in the archive, its mode, its bytes."""
    source, _, target = argument.partition("=")
    path, _, mode = target.partition(":")
    try:
        permissions = int(mode or "755", 8)
    except ValueError:
        fail(f"--add {argument}: '{mode}' is no mode in octal")
    return (path or Path(source).name).strip("/"), permissions, read(source)


def depends(module):
    """The names in the "depends" of a module, which lies in its section of modinfo."""
    done = subprocess.run(("objcopy", "-O", "binary", "--only-section=.modinfo", module,
                           "/dev/stdout"), capture_output=True, check=False)
    found = [word[8:] for word in done.stdout.decode().split("\0") if word.startswith("depends=")]
    if done.returncode != 0 or len(found) != 1:
        fail(f"{module}: no kernel module")
    return [name for name in found[0].split(",") if name]


class Modules:
    """The modules asked for and those they need, each after what it depends on."""

    def __init__(self, directory):
        self.directory = directory
        self.found = {}   # name: bytes, in the order of loading
        self.options = {}

    def ask(self, argument):
        name, *options = argument.split() or [""]
        self.options[name] = options
        self._add(name)

    def _add(self, name):
        if name in self.found:
            return
        path = self.directory / f"{name}.ko"
        content = read(path)
        for needed in TRANSPORT.get(name, []) + depends(path):
            self._add(needed)
        self.found[name] = content

    def files(self):
        lines = [" ".join([name, *self.options.get(name, [])]) for name in self.found]
        yield "etc/modules", 0o644, "".join(f"{line}\n" for line in lines).encode()
        for name, content in self.found.items():
            yield f"lib/modules/{name}.ko", 0o644, content


def build(extra):
    if not BUSYBOX.is_file():
        fail(f"{BUSYBOX.relative_to(ROOT)} is missing; tools/kernels.sh fetches it")
    files = {"bin/busybox": (0o755, read(BUSYBOX)),
             "bin/port": (0o755, assemble(ROOT / "guests/linux/port.S")),
             "init": (0o755, read(ROOT / "guests/linux/init"))}
    directories = set(DIRECTORIES)
    for path, mode, content in extra:
        files[path] = (mode, content)
        directories.update(str(parent) for parent in Path(path).parents if str(parent) != ".")
    archive = Archive()
    for path in sorted(directories):
        archive.add(path, stat.S_IFDIR | 0o755)
    for path, major, minor in DEVICES:
        archive.add(path, stat.S_IFCHR | 0o600, device=(major, minor))
    for path, (mode, content) in sorted(files.items()):
        archive.add(path, stat.S_IFREG | mode, content)
    return archive.finish()


def write(path, content):
    """Whole or not at all, and not touched if it is the same already."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
    print(f"initramfs: {path.name}, {len(content)} bytes")


def main():
    parser = argparse.ArgumentParser(description="Builds build/initramfs.cpio and .cpio.gz.")
    parser.add_argument("--output", type=Path, default=ROOT / "build/initramfs.cpio")
    parser.add_argument("--add", action="append", default=[], metavar="FILE[=PATH[:MODE]]",
                        help="one more file; may be given again")
    parser.add_argument("--module", action="append", default=[], metavar="NAME [PARAMETER=VALUE]",
                        help="a kernel module for /init to load; may be given again")
    parser.add_argument("--modules", type=Path, default=MODULES, metavar="DIRECTORY",
                        help="where the modules are: those of the kernel that is to be booted")
    arguments = parser.parse_args()
    modules = Modules(arguments.modules)
    for module in arguments.module:
        modules.ask(module)
    extra = [added_file(argument) for argument in arguments.add]
    content = build([*(modules.files() if arguments.module else ()), *extra])
    write(arguments.output, content)
    write(arguments.output.with_name(arguments.output.name + ".gz"),
          gzip.compress(content, compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
