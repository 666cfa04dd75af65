#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A check that finds nothing may be one that cannot find anything. Each check gets a small tree
with one thing wrong, and the same tree with that mended."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import enclave_exits
import freestanding
import house_rules
import include_arrows
import rip_writer
import seeds
import tree

head = "// SPDX-License-Identifier: Apache-2.0\n"


class Tree(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)

    def write(self, name: str, text: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def assert_one(self, found: list[str], what: str) -> None:
        self.assertEqual(len(found), 1, found)
        self.assertIn(what, found[0])


class IncludeArrows(Tree):
    def found(self, name: str, include: str) -> list[str]:
        self.write(name, head + f"#include {include}\n")
        return include_arrows.findings(self.top)

    def test_hv_may_not_include_cpu(self) -> None:
        self.assert_one(self.found("hv/run.cpp", '"cpu/cpu.h"'), "hv/ may not include cpu/cpu.h")

    def test_a_unit_test_of_hv_may_not_include_cpu(self) -> None:
        self.assert_one(self.found("tests/unit/hv/run.cpp", '"cpu/cpu.h"'), "may not include")

    def test_hv_may_not_include_a_library(self) -> None:
        self.assert_one(self.found("hv/run.cpp", "<Zydis/Zydis.h>"), "freestanding")

    def test_a_path_starts_at_the_root(self) -> None:
        self.assert_one(self.found("hv/run.cpp", '"../cpu/cpu.h"'), "not a path from the tree's root")

    def test_what_is_allowed_is_not_found(self) -> None:
        self.assertEqual(self.found("hv/run.cpp", '"arch/msr.h"'), [])
        self.assertEqual(self.found("host/run.cpp", '"cpu/cpu.h"'), [])


class HouseRules(Tree):
    def found(self, line: str, first: str = head) -> list[str]:
        self.write("hv/run.cpp", first + line + "\n")
        return house_rules.findings(self.top)

    def test_missing_licence(self) -> None:
        self.assert_one(self.found("int a;", first=""), "no SPDX line")

    def test_path_of_one_machine(self) -> None:
        self.assert_one(self.found("// see /" + "home/me/notes"), "names a path")

    def test_section_number(self) -> None:
        self.assert_one(self.found("// SDM 3C, 27.2.1"), "by title")
        self.assertEqual(self.found('// SDM 3C, "Basic VM-Exit Information"'), [])

    def test_long_line(self) -> None:
        self.assert_one(self.found("// " + "x" * 110), "113 columns")


class RipWriter(Tree):
    def found(self, line: str, setter: str = "port_.vmwrite(VmcsField::guest_rip, rip);") -> list[str]:
        self.write("hv/rip.cpp", head + setter + "\n")
        self.write("hv/run.cpp", head + line + "\n")
        return rip_writer.findings(self.top)

    def test_a_second_writer(self) -> None:
        self.assert_one(self.found("port.vmwrite(VmcsField::guest_rip, 0);"), "Vcpu::set_rip does")

    def test_a_writer_that_hides(self) -> None:
        self.assert_one(self.found("port.vmwrite(field, 0);"), "a field that is not named")
        self.assert_one(self.found("auto f = VmcsField::guest_rip;"), "neither reads nor writes")
        self.assert_one(self.found("auto f = static_cast<VmcsField>(0x681e);"), "of a number")

    def test_no_writer(self) -> None:
        self.assert_one(self.found("", setter=""), "0 times")

    def test_what_is_allowed_is_not_found(self) -> None:
        self.assertEqual(self.found("u64 a = port.vmread(VmcsField::guest_rip);"), [])
        self.assertEqual(self.found("port.vmwrite(VmcsField::guest_rsp, 0);"), [])


class EnclaveExits(unittest.TestCase):
    def test_a_document_that_is_old_and_a_matrix_that_is_wrong(self) -> None:
        self.assertEqual(enclave_exits.findings("text", 0, "text"), [])
        self.assertEqual(len(enclave_exits.findings("text", 0, "other text")), 1)
        self.assertEqual(len(enclave_exits.findings("text", 1, "text")), 1)


class Seeds(unittest.TestCase):
    def found(self, row: str) -> list[str]:
        table = "| id | sentence | state | tests |\n|---|---|---|---|\n" + row
        return seeds.findings(table, {"Guard.GivesOneUd"})

    def test_rows(self) -> None:
        self.assertEqual(self.found("| A1 | text | done | `Guard.GivesOneUd` |"), [])
        self.assertEqual(self.found("| A1 | text | open: nesting, issue 5 | |"), [])
        self.assertEqual(len(self.found("| A1 | text | done | `Guard.GivesTwo` |")), 1)
        self.assertEqual(len(self.found("| A1 | text | done | |")), 1)
        self.assertEqual(len(self.found("| A1 | text | open | |")), 1)
        self.assertEqual(len(seeds.findings("no table", set())), 1)


class Refusals(Tree):
    def accepts(self, control: str, mistake: str, expected: str) -> bool:
        self.write("case.cpp", f"#ifdef CONTROL\n{control}\n#else\n{expected}\n{mistake}\n#endif\n")
        harness = tree.root / "tests" / "compile_fail" / "refuse.py"
        done = subprocess.run([sys.executable, harness, "g++", self.top / "case.cpp"],
                              capture_output=True, check=False)
        return done.returncode == 0

    def test_a_case_is_good_only_if_control_mistake_and_message_are(self) -> None:
        right, wrong, text = "int a;", "int a = nothing;", "// refuse: was not declared"
        self.assertTrue(self.accepts(right, wrong, text))
        self.assertFalse(self.accepts(wrong, wrong, text))
        self.assertFalse(self.accepts(right, right, text))
        self.assertFalse(self.accepts(right, wrong, "// refuse: another message"))
        self.assertFalse(self.accepts(right, wrong, "// refuse: was not declared (clang++)"))
        self.assertFalse(self.accepts(right, wrong, ""))


class Freestanding(Tree):
    def found(self, text: str) -> list[str]:
        self.write("hv/sample.cpp", head + text)
        return freestanding.findings(self.top, self.top / "made", say=lambda line: None)

    def test_clean(self) -> None:
        self.assertEqual(self.found("int twice(int a) { return a + a; }"), [])

    def test_undefined_symbol(self) -> None:
        self.assert_one(self.found("int puts(const char*); int f() { return puts(\"a\") + 1; }"),
                        "undefined symbol")

    def test_initialiser(self) -> None:
        found = self.found("struct A { A(); int a; }; A::A() : a{1} { asm(\"\"); } A object;")
        self.assert_one(found, ".init_array")

    def test_thread_local(self) -> None:
        self.assert_one(self.found("thread_local int a = 3;"), ".tdata")

    def test_vector_register(self) -> None:
        self.assert_one(self.found("void f() { asm volatile(\"pxor %xmm1, %xmm0\"); }"), "vector")

    def test_floating_point_does_not_compile(self) -> None:
        self.assert_one(self.found("double f(double a) { return a + a; }"), "error")

    def test_large_frame(self) -> None:
        self.assert_one(self.found("int f(int i) { volatile char a[5000]; a[i] = 1; return a[i]; }"),
                        "bytes of stack")

    def test_frames_add_up_along_a_table_of_handlers(self) -> None:
        handler = "static int h(int i) { volatile char a[2500]; a[i] = 1; return a[i]; }\n"
        caller = "int f(int i) { volatile char a[2500]; a[i] = 1; return table[i](i) + a[i]; }\n"
        table = "static int (*const table[])(int) = {h, h};\n"
        self.assert_one(self.found(handler + table + caller), "bytes of stack")

    def test_a_virtual_call_leaves_the_hypervisor(self) -> None:
        text = ("struct P {\n    virtual int ask(int i) = 0;\n};\n"
                "static int h(int i) { volatile char a[2500]; a[i] = 1; return a[i]; }\n"
                "int (*const table[])(int) = {h, h};\n"
                "int f(P& p, int i) {\n    volatile char a[2500];\n    a[i] = 1;\n"
                "    return CALL + a[i];\n}\n")
        self.assertEqual(self.found(text.replace("CALL", "p.ask(i)")), [])
        self.assert_one(self.found(text.replace("CALL", "table[i](i)")), "bytes of stack")

    def test_an_indirect_call_of_a_file_without_tables_may_reach_any(self) -> None:
        self.write("hv/table.cpp", head + "static int h(int i) { volatile char a[2500]; a[i] = 1;"
                   " return a[i]; }\nextern int (*const table[])(int);\n"
                   "int (*const table[])(int) = {h, h};\n")
        self.assert_one(self.found("int f(int (*g)(int), int i) { volatile char a[2500]; a[i] = 1;"
                                   " return g(i) + a[i]; }"), "bytes of stack")

    def test_recursion(self) -> None:
        self.assert_one(self.found("int g(int); [[gnu::noinline]] int f(int a) { return g(a) + 1; }"
                                   "[[gnu::noinline]] int g(int a) { return a ? f(a - 1) + 2 : 0; }"),
                        "recursion")

    def test_frame_of_unknown_size(self) -> None:
        found = self.found("void use(char*); void f(unsigned n) {"
                           " use(static_cast<char*>(__builtin_alloca(n))); }\n"
                           "void use(char* a) { asm volatile(\"\" : : \"r\"(a)); }")
        self.assert_one(found, "size not known")


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
