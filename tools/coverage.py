#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/coverage.md: the rows of the project's tables, read from their sources, and the
tests whose names speak of them; then what the SGX leaves check, with the case that breaks it, and
what each answers; then each item of the manual's lists of VM-entry checks with its row
and the states that violate it; then the open behaviours of docs/open-points.md. --check compares
instead and fails if the file is out of date.

A test speaks of a row if the words of the row's name stand in its own, in that order
(ept_violation: EnclaveExit.EptViolationIsMapped). For instructions, whose names are everyday
words (and, not, in), they must begin the suite's or the test's name. A comment
"// covers: <title of a table>" before a test gives it the whole table, with a row's name
instead, that row."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

root = Path(__file__).resolve().parents[1]
target = root / "docs" / "coverage.md"
open_points = root / "docs" / "open-points.md"

Row = list[str]


def sources(pattern: str) -> Iterator[str]:
    for path in sorted(root.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        yield re.sub(r"//.*", "", text)


def split_arguments(text: str) -> Row:
    """The parts of "a, f(b, c), {d, e}" between commas outside of brackets."""
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "({[<") - (character in ")}]>")
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    return [re.sub(r"\s+", " ", one).strip() for one in [*parts, part] if one.strip()]


def bracketed(text: str, start: int) -> str:
    """What stands between the bracket at `start` and the one that closes it."""
    depth = 0
    for end in range(start, len(text)):
        depth += (text[end] in "({") - (text[end] in ")}")
        if depth == 0:
            return text[start + 1:end]
    return ""


def rows_at(pattern: str, opening: str) -> list[Row]:
    """A row for each match of `opening`, whose last character is the row's bracket. A macro's
    own definition and undefinition are not rows."""
    rows = []
    for text in sources(pattern):
        for match in re.finditer(opening, text, re.M):
            rows.append(split_arguments(bracketed(text, match.end() - 1)))
    return rows


def macro_rows(pattern: str, macro: str) -> list[Row]:
    return rows_at(pattern, rf"^\s*{macro}\(")


def brace_rows(pattern: str, first: str) -> list[Row]:
    """Rows of a constexpr array, "{first, ...}" or "Type{first, ...}"."""
    return rows_at(pattern, rf"\{{(?=\s*{first})")


def short(cell: str) -> str:
    return re.sub(r"\b\w+::", "", cell)


def enumerators(pattern: str, enum: str) -> list[Row]:
    rows = []
    for text in sources(pattern):
        if match := re.search(rf"enum class {enum}\b[^{{]*\{{([^}}]*)\}}", text):
            rows += [[number.strip(), name] for name, number in
                     re.findall(r"(\w+)\s*=\s*([^,\n]+)", match[1])]
    return rows


def exit_rows() -> list[Row]:
    handlers = {short(row[0]): [short(cell) for cell in row[1:]]
                for row in rows_at("hv/exit/table.h", r"\bExitRow\{")}
    return [[number, name, *handlers.get(name, ["no row"])]
            for number, name in macro_rows("arch/vmx/exit_reasons.def", "EXIT_REASON")]


def nested_controls() -> list[Row]:
    """The controls of VMX that a guest may be offered, and what hides them."""
    rows = []
    for control, carried_out, *unless in rows_at("hv/nested/capability.cpp",
                                                 r"\bNestedControl\{(?=\w+Control::)"):
        word, name = control.split("::")
        hidden = ", ".join(re.findall(r"HiddenFeature::(\w+)", " ".join(unless)))
        answer = "not offered" if carried_out == "no" else "offered"
        rows.append([word.removesuffix("Control").lower(), name,
                     f"{answer}, but not with {hidden} hidden" if hidden else answer])
    return rows


def provenance(leaf: str, open_rows: list[Row]) -> str:
    """The manual, apart from the open behaviours that name the leaf: how many of which tag."""
    tags = [tag for behaviour, tag, *_ in open_rows
            if re.search(rf"\b{leaf.upper()}\b", behaviour)]
    return ", ".join(["manual", *(f"{tags.count(tag)} {tag}" for tag in sorted(set(tags)))])


def leaf_rows(enum: str) -> list[Row]:
    """A leaf's handler stands in a table of cpu/sgx/, in a row that begins with the leaf."""
    handlers = {short(row[0]): [short(cell) for cell in row[1:]]
                for row in brace_rows("cpu/sgx/**/*.cpp", rf"{enum}::\w+")}
    open_rows = list(markdown_tables(open_points.read_text(encoding="utf-8")))[1][1:]
    rows = []
    for number, name in enumerators("arch/sgx/leaf.h", enum):
        handler = handlers.get(name, ["no row"])
        built = handler[-1] not in ("nullptr", "no row")
        rows.append([number, name, " ".join(handler),
                     provenance(name, open_rows) if built else "not offered"])
    return rows


def instruction_rows() -> list[Row]:
    """Rows written as such, and those made of the lists of mnemonics, whose macro is the form."""
    rows = []
    for text in sources("cpu/**/*mnemonics.def"):
        for macro, arguments in re.findall(r"^(\w+)\(([A-Z0-9_, a-z]+)\)", text, re.M):
            mnemonic, *more = split_arguments(arguments)
            rows.append([mnemonic, " ".join([macro.lower().replace("_", " "), *more])])
    rows += brace_rows("cpu/decode/*.cpp", r"ZYDIS_MNEMONIC_\w+")
    by_mnemonic: dict[str, list[str]] = {}
    for row in rows:
        name = row[0].removeprefix("ZYDIS_MNEMONIC_").lower()
        form = " ".join(short(cell) for cell in row[1:])
        by_mnemonic.setdefault(name, []).append(form)
    return [[name, "; ".join(dict.fromkeys(forms))] for name, forms in sorted(by_mnemonic.items())]


@dataclass
class Table:
    title: str
    rows: list[Row]
    columns: list[str]
    name_column: int
    everyday_names: bool = False


def tables() -> list[Table]:
    return [
        Table("Exit reasons", exit_rows(),
              ["number", "reason", "normal", "enclave", "delivery", "wanted by L1"], 1),
        Table("VMCS fields", macro_rows("arch/vmx/vmcs_fields.def", "VMCS_FIELD"),
              ["encoding", "field", "capability"], 1),
        Table("VMX controls of a guest", nested_controls(), ["word", "control", "guest"], 1),
        Table("ENCLS leaves", leaf_rows("EnclsLeaf"),
              ["EAX", "leaf", "processor", "provenance"], 1),
        Table("ENCLU leaves", leaf_rows("EncluLeaf"),
              ["EAX", "leaf", "processor", "provenance"], 1),
        Table("Instructions", instruction_rows(), ["mnemonic", "forms and handlers"], 0,
              everyday_names=True),
    ]


@cache
def words(name: str) -> list[str]:
    found = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return [word.lower() for word in found]


def stands_in(part: list[str], whole: list[str], only_first: bool) -> bool:
    last = 0 if only_first else len(whole) - len(part)
    return any(whole[at:at + len(part)] == part for at in range(last + 1))


def speaks_of(test: str, row_name: str, everyday: bool) -> bool:
    return any(stands_in(words(row_name), words(part), everyday) for part in test.split("."))


@dataclass
class Tests:
    names: list[str]
    covering: dict[str, list[str]]
    with_word: dict[str, list[str]]   # the names in which a word stands


def read_tests() -> Tests:
    tests = Tests([], {}, {})
    macro = re.compile(r"^\s*(?://\s*covers:\s*(.+)|TEST(?:_[FP])?\(\s*(\w+)\s*,\s*(\w+)\s*\))",
                       re.M)
    for path in sorted((root / "tests").rglob("*.cpp")):
        covers = ""
        for match in macro.finditer(path.read_text(encoding="utf-8")):
            if match[1]:
                covers = match[1].strip()
                continue
            name = f"{match[2]}.{match[3]}"
            tests.names.append(name)
            if covers:
                tests.covering.setdefault(covers, []).append(name)
            covers = ""
    # Programs whose header says what they must come to: each is a test.
    for path in (root / "tests" / "asm").rglob("*.s"):
        tests.names.append(f"Asm_{path.parent.name}.{path.stem}")
    for path in (root / "tests" / "computer").glob("*.s"):
        tests.names.append(f"Computer.{path.stem}")
    tests.names.sort()
    for name in tests.names:
        for word in {word for part in name.split(".") for word in words(part)}:
            tests.with_word.setdefault(word, []).append(name)
    return tests


def tests_cell(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:2])
    return shown + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def tests_of(row_name: str, table: Table, tests: Tests) -> list[str]:
    names = [name for name in tests.with_word.get(words(row_name)[0], [])
             if speaks_of(name, row_name, table.everyday_names)]
    return sorted({*names, *tests.covering.get(row_name, [])})


def section(table: Table, tests: Tests) -> list[str]:
    lines = [f"## {table.title}", ""]
    if not table.rows:
        return [*lines, "No table in the sources yet.", ""]
    found = {row[table.name_column]: tests_of(row[table.name_column], table, tests)
             for row in table.rows}
    named = sum(1 for names in found.values() if names)
    lines += [f"{len(table.rows)} rows, {named} of them named by a test.", ""]
    for name in tests.covering.get(table.title, []):
        lines += [f"The whole table: `{name}`.", ""]
    lines.append("| " + " | ".join([*table.columns, "tests"]) + " |")
    lines.append("|" + "---|" * (len(table.columns) + 1))
    for row in table.rows:
        cells = (row + [""] * len(table.columns))[:len(table.columns)]
        cells.append(tests_cell(found[row[table.name_column]]))
        lines.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    return [*lines, ""]


# SDM 3C, "VM Entries", in its order.
check_titles = [
    "VM-Execution Control Fields",
    "VM-Exit Control Fields",
    "VM-Entry Control Fields",
    "Checks on Host Control Registers, MSRs, and SSP",
    "Checks on Host Segment and Descriptor-Table Registers",
    "Checks Related to Address-Space Size",
    "Checks on Guest Control Registers, Debug Registers, and MSRs",
    "Checks on Guest Segment Registers",
    "Checks on Guest Descriptor-Table Registers",
    "Checks on Guest RIP, RFLAGS, and SSP",
    "Checks on Guest Non-Register State",
    "Checks on Guest Page-Directory-Pointer-Table Entries",
]

literal = r'"[^"\n]*"(?:\s*"[^"\n]*")*'


def string_constants(text: str) -> dict[str, str]:
    """constexpr std::string_view name = "value";"""
    return {name: unquoted(value) for name, value in
            re.findall(rf"string_view\s+(\w+)\s*=\s*({literal})\s*;", text)}


def unquoted(cell: str) -> str:
    return "".join(re.findall(r'"([^"]*)"', cell))


def string_of(cell: str, constants: dict[str, str]) -> str:
    return unquoted(cell) if cell.startswith('"') else constants.get(cell.split("::")[-1], "")


def check_cases() -> dict[str, dict[str, int]]:
    """The states that violate a rule: how many, by rule and by the file that they are in."""
    cases: dict[str, dict[str, int]] = {}
    for path in sorted((root / "tests/unit/cpu/vmx").glob("*_violations.cpp")):
        text = path.read_text(encoding="utf-8")
        constants = string_constants(text)
        for cell in re.findall(rf"\{{\s*({literal}|\w+)\s*,", text):
            rule = string_of(cell, constants)
            of_rule = cases.setdefault(rule, {})
            of_rule[path.name] = of_rule.get(path.name, 0) + 1
    return cases


def check_items() -> list[Row]:
    """Title, item, where its row is, and what violates it."""
    cases = check_cases()
    items = []
    folder = root / "arch/vmx/entry_checks"
    titles = string_constants((folder / "titles.h").read_text(encoding="utf-8"))
    for path in sorted(folder.glob("*.h")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        cell = rf"\s*({literal}|title::\w+)\s*,"
        for kind, *cells in re.findall(rf"\b(Check|NotOffered)\{{{cell}{cell}(?:{cell})?", text):
            title, rule, feature = (string_of(one, titles) for one in cells)
            if title not in check_titles or not rule:
                raise ValueError(f"{path.name}: not a row: {cells[0]}, {cells[1]}")
            if kind == "NotOffered":
                items.append([title, rule, "not offered", feature])
                continue
            if rule not in cases:
                raise ValueError(f"{path.name}: no state violates: {rule}")
            states = ", ".join(f"`{name}`: {count}" for name, count in cases[rule].items())
            items.append([title, rule, f"`{path.name}`", states])
    return items


def check_section() -> list[str]:
    items = check_items()
    offered = sum(1 for item in items if item[2] != "not offered")
    lines = ["## Checks of VM entry", "",
             f"{len(items)} items of the lists of SDM 3C, \"VM Entries\", in our own words: "
             f"{offered} are rows of the tables",
             "in `arch/vmx/entry_checks/`, each with the states of `tests/unit/cpu/vmx/` that",
             f"violate it; {len(items) - offered} speak of what is not offered.", ""]
    for title in check_titles:
        lines += [f"### {title}", "", "| item | row | violated by |", "|---|---|---|"]
        lines += ["| " + " | ".join(escape(cell) for cell in item[1:]) + " |"
                  for item in items if item[0] == title]
        lines.append("")
    return lines


def sgx_cases() -> dict[str, list[Row]]:
    """The cases that break one check of an SGX leaf, with the fault or code that must come: by the
    test suite that runs them."""
    arrays: dict[str, list[Row]] = {}   # by file and name; a header's by name alone
    suites: list[tuple[str, str, str]] = []
    for path in sorted((root / "tests/unit/cpu/sgx").glob("*")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        own = "" if path.suffix == ".h" else path.name
        suites += [(suite, path.name, array) for suite, array in re.findall(
            r"INSTANTIATE_TEST_SUITE_P\(\s*\w+,\s*(\w+),\s*testing::ValuesIn\((\w+)", text)]
        for match in re.finditer(r"constexpr \w+ (\w+)\[\]\s*(?:=\s*)?\{", text):
            body = bracketed(text, match.end() - 1)
            rows = [split_arguments(bracketed(body, row.end() - 1))
                    for row in re.finditer(r"\{(?=\s*\")", body)]
            arrays[f"{own}:{match[1]}"] = [
                [unquoted(row[0]), "" if row[-1].startswith("[") else row[-1]] for row in rows]
    cases: dict[str, list[Row]] = {}
    for suite, file, array in suites:
        rows = arrays.get(f"{file}:{array}", arrays.get(f":{array}", []))
        if rows:
            cases.setdefault(suite, []).extend(rows)
    return cases


def sgx_section() -> list[str]:
    cases = sgx_cases()
    lines = ["## Checks of SGX leaves", "",
             f"{sum(map(len, cases.values()))} cases of `tests/unit/cpu/sgx/`, each of which breaks "
             "one check, with what must come of it.", "",
             "| suite | case | answer |", "|---|---|---|"]
    for suite, rows in cases.items():
        lines += [f"| {suite} | " + " | ".join(escape(cell) for cell in row) + " |"
                  for row in rows]
    return [*lines, ""]


def markdown_tables(text: str) -> Iterator[list[Row]]:
    rows: list[Row] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            yield [rows[0], *rows[2:]]   # without the line below the head
            rows = []


def open_section() -> list[str]:
    """What the manual leaves open, written by hand: each row with where its answer comes from."""
    tags, behaviours = markdown_tables(open_points.read_text(encoding="utf-8"))
    known = {row[0].strip("`") for row in tags[1:]}
    for row in behaviours[1:]:
        if len(row) != len(behaviours[0]) or row[1] not in known or not all(row):
            raise ValueError(f"{open_points.name}: not a row: {' | '.join(row)}")
    counts = ", ".join(f"{sum(row[1] == tag for row in behaviours[1:])} {tag}"
                       for tag in sorted(known))
    return ["## Open behaviours", "",
            f"{len(behaviours) - 1} rows: {counts}. What the tags mean: [{open_points.name}]"
            f"({open_points.name}).", "",
            *("| " + " | ".join(row) + " |" for row in behaviours[:1]),
            "|" + "---|" * len(behaviours[0]),
            *("| " + " | ".join(row) + " |" for row in behaviours[1:]), ""]


def document() -> str:
    tests = read_tests()
    lines = ["# Coverage", "",
             "Generated by `tools/coverage.py` from the tables in the sources and the names of the",
             "tests; a test fails when it is out of date. An empty last cell means that no test",
             "names the row, not that none reaches it.", ""]
    for table in tables():
        lines += section(table, tests)
    lines += sgx_section()
    lines += check_section()
    lines += open_section()
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = document()
    if not check:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return 0
    committed = target.read_text(encoding="utf-8") if target.exists() else ""
    if committed == text:
        print("docs/coverage.md is current")
        return 0
    sys.stdout.writelines(list(difflib.unified_diff(
        committed.splitlines(True), text.splitlines(True), "committed", "generated"))[:60])
    print("docs/coverage.md is out of date: run tools/coverage.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
