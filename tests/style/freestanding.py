#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hv/ must one day run on bare metal: this compiles it as it will be compiled there and looks at
what comes out. Nothing undefined but the mem* functions, nothing to run before main, no
thread-local storage, no vector or x87 instruction, and no chain of calls over 4 KiB of stack.

The chains are g++'s own call graph. An indirect call may reach every function whose address its
own file takes (its tables), or, if that takes none, any file of hv/, so that the worst handler
counts; one of a virtual function leaves hv/, whose own classes have none: it is the port's, the
devices' or the watcher's.
Indirect calls are followed three deep (run loop, handler, service). Recursion is a finding, and
so is a frame whose size is only known at run time."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import tree

flags = ("-std=c++23 -O2 -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-exceptions "
         "-fno-rtti -fno-threadsafe-statics -fstack-usage -fcallgraph-info=su").split()
from_outside = {"memcpy", "memset", "memmove", "memcmp"}
refused_sections = re.compile(r"\.(init_array|ctors|preinit_array|fini_array|dtors|tdata|tbss)\b")
vector_or_x87 = re.compile(r"%[xyz]mm\d|%st\b|%mm\d|\t(f[a-z]+|emms|ldmxcsr|stmxcsr)\b")
stack_limit = 4096
indirect_depth = 3


def output(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True).stdout


@dataclass
class Graph:
    """Functions by their title in g++'s call graph: assembler name, after "file:" if local."""
    frames: dict[str, int] = field(default_factory=dict)
    unbounded: set[str] = field(default_factory=set)
    calls: dict[str, set[str]] = field(default_factory=dict)
    taken: dict[str, set[str]] = field(default_factory=dict)  # by file

    def read(self, callgraph: Path, leaving: Callable[[str], bool]) -> dict[str, str]:
        """Adds one file; the answer maps its assembler names to titles. `leaving` says of the
        place of an indirect call (file:line:column) that it leaves hv/."""
        titles = {}
        text = callgraph.read_text(encoding="utf-8")
        for title, label in re.findall(r'^node: \{ title: "([^"]+)" label: "([^"]*)"', text, re.M):
            titles[title.rsplit(":", 1)[-1]] = title
            if match := re.search(r"(\d+) bytes \(([a-z,]+)\)", label):
                self.frames[title] = max(int(match[1]), self.frames.get(title, 0))
                if match[2] == "dynamic":
                    self.unbounded.add(title)
        for source, target, place in re.findall(
                r'sourcename: "([^"]+)" targetname: "([^"]+)"(?: label: "([^"]*)")?', text):
            if target == "__indirect_call":
                if leaving(place):
                    continue
                target = f"{target} {callgraph.stem}"
            self.calls.setdefault(source, set()).add(target)
        return titles

    def reached(self, indirect: str) -> set[str]:
        everywhere = set().union(*self.taken.values())
        return (self.taken.get(indirect.split()[1]) or everywhere) & self.frames.keys()

    def worst_chain(self) -> tuple[list[str], int, list[str]]:
        """The dearest chain and its size; and what makes chains endless."""
        recursions: list[str] = []
        known: dict[tuple[str, int], tuple[int, list[str]]] = {}

        def cost(function: str, depth: int, path: tuple[str, ...]) -> tuple[int, list[str]]:
            if function in path:
                recursions.append(" -> ".join(path[path.index(function):] + (function,)))
                return 0, []
            if (function, depth) not in known:
                below: tuple[int, list[str]] = (0, [])
                for target in self.calls.get(function, ()):
                    if target.startswith("__indirect_call "):
                        found = [cost(f, depth - 1, ()) for f in self.reached(target)] \
                            if depth else []
                    else:
                        found = [cost(target, depth, path + (function,))]
                    below = max([below, *found])
                known[function, depth] = (self.frames.get(function, 0) + below[0],
                                          [function, *below[1]])
            return known[function, depth]

        worst = max((cost(function, indirect_depth, ()) for function in self.frames),
                    default=(0, []))
        return worst[1], worst[0], sorted(set(recursions))


def leaves(top: Path) -> Callable[[str], bool]:
    """Whether the source at a place calls one of the virtual functions that hv/ declares."""
    lines = {path: path.read_text(encoding="utf-8").splitlines()
             for path in sorted((top / "hv").rglob("*.*"))}
    declared = re.compile(r"^\s*virtual [\w:&*<> ]*?[ &*](\w+)\(")
    names = {match[1] for text in lines.values() for line in text if (match := declared.match(line))}
    call = re.compile(rf"[.>]({'|'.join(sorted(names))})\(") if names else None

    def leaving(place: str) -> bool:
        path, line, _ = place.rsplit(":", 2) if place.count(":") >= 2 else ("", "0", "")
        text = lines.get(Path(path), [])
        return bool(call and 0 < int(line) <= len(text) and call.search(text[int(line) - 1]))
    return leaving


def addresses_taken(built: Path) -> set[str]:
    """Assembler names of functions in data (tables, vtables) or loaded by an instruction."""
    functions, sections = {}, {}
    for line in output("readelf", "-SW", built).splitlines():
        if match := re.match(r"\s*\[\s*(\d+)\] (\S+)", line):
            sections[match[1]] = match[2]
    for line in output("readelf", "-sW", built).splitlines():
        words = line.split()
        if len(words) == 8 and words[3] == "FUNC" and words[6] in sections:
            functions[sections[words[6]], int(words[1], 16)] = words[7]
    names = set(functions.values())

    taken, section = set(), ""
    for line in output("readelf", "-rW", built).splitlines():
        if match := re.match(r"Relocation section '\.rela(\S+)'", line):
            section = match[1]
        elif match := re.match(r"[0-9a-f]+\s+[0-9a-f]+\s+(R_\S+)\s+[0-9a-f]*\s+(\S+) ([+-]) (\w+)", line):
            kind, target, sign, addend = match.groups()
            if section.startswith((".eh_frame", ".debug")) or kind == "R_X86_64_PLT32":
                continue
            if target in names or section.startswith(".text") or target.startswith("_Z"):
                taken.add(target)
            elif sign == "+" and (target, int(addend, 16)) in functions:
                taken.add(functions[target, int(addend, 16)])
    for name in re.findall(r"\tlea .*# [0-9a-f]+ <([^+>]+)>$", disassembly(built), re.M):
        taken.add(name)
    return taken


def disassembly(built: Path) -> str:
    return output("objdump", "-d", "--no-show-raw-insn", built)


def compile_one(source: Path, include: Path, work: Path) -> tuple[Path, str]:
    built = work / (re.sub(r"\W", "_", source.relative_to(include).as_posix()) + ".o")
    done = subprocess.run(["g++", *flags, f"-I{include}", "-c", str(source), "-o", str(built)],
                          capture_output=True, text=True, check=False)
    return built, done.stderr if done.returncode else ""


def check_image(image: Path) -> list[str]:
    found = []
    for line in output("nm", "--undefined-only", image).splitlines():
        symbol = line.split()[-1]
        if symbol not in from_outside:
            found.append(f"undefined symbol: {symbol}")
    for line in output("readelf", "-SW", image).splitlines():
        if match := refused_sections.search(line):
            found.append(f"section .{match[1]}: something runs before main or is thread-local")
    function = "?"
    for line in disassembly(image).splitlines():
        if match := re.match(r"[0-9a-f]+ <(.+)>:", line):
            function = match[1]
        elif vector_or_x87.search(line):
            found.append(f"{function}: vector or x87 instruction:{line.split(':', 1)[1]}")
    return sorted(set(found))


def check_stack(graph: Graph, say: Callable[[str], None]) -> list[str]:
    found = [f"{name}: frame of a size not known when compiled" for name in sorted(graph.unbounded)]
    chain, size, recursions = graph.worst_chain()
    found += [f"recursion: {cycle}" for cycle in recursions]
    listing = "".join(f"\n  {graph.frames.get(name, 0):>5}  {name}" for name in chain)
    if size > stack_limit:
        found.append(f"{size} bytes of stack, at most {stack_limit}:{listing}")
    else:
        say(f"deepest chain: {size} of {stack_limit} bytes{listing}")
    return found


def findings(top: Path, work: Path, say: Callable[[str], None] = print) -> list[str]:
    sources = sorted((top / "hv").rglob("*.cpp"))
    if not sources:
        return ["hv/ has no sources"]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda source: compile_one(source, top, work), sources))
    if errors := [error for _, error in results if error]:
        return errors

    objects = [built for built, _ in results]
    image = work / "hv.o"
    output("ld", "-r", "-o", image, *objects)
    graph = Graph()
    leaving = leaves(top)
    for built in objects:
        titles = graph.read(built.with_suffix(".ci"), leaving)
        graph.taken[built.stem] = {titles.get(name, name) for name in addresses_taken(built)}
    return check_image(image) + check_stack(graph, say)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    return tree.verdict(findings(tree.root, work), "freestanding")


if __name__ == "__main__":
    sys.exit(main())
