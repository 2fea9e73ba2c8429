"""Random suites, run under ``python -m unittest``, ``python -m asyncunit`` and pytest: one verdict, one order.

python -m tests.promises.random_suites 100 200     # tries these seeds, prints those that differ
python -m tests.promises.random_suites 17 --keep .  # writes the suite of one seed there, and what each runner did
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from tests.support import python

SCOPES = ["function", "class", "module", "package", "session"]
# What a part of a suite does beside being noted; mostly nothing.
ENDS = {"fail": "raise ValueError('boom:{tag}')", "skip": "raise unittest.SkipTest('why')", "cut": "await cut()"}
HEAD = """
import asyncio
import os
import sys
import unittest

import asyncunit
from asyncunit import load_tests


def note(text):
    with open(os.environ["EVENTS"], "a", encoding="utf-8") as file:
        file.write(f"{text}\\n")


async def cut():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
"""


@dataclasses.dataclass
class Suite:
    """Files by their names."""

    files: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Fixture:
    """A fixture of a suite, as far as others have to know of it."""

    name: str
    scope: str
    ids: list[str]
    autouse: bool


class Writer:
    """Writes the suite of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.suite = Suite()
        self.module = ""
        self.has_functions = False
        # Those of conftest.py files, by the file's module.
        self.of_conftests: dict[str, list[Fixture]] = {}
        # pytest finds these by itself; where modules import them only for unittest, it has to.
        self.imports_always = True

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    def end(self, tag: str, *, is_async: bool, choices: str = "fail fail skip cut") -> str:
        """What comes after the note; mostly nothing."""
        if not self.chance(0.06):
            return "pass"
        end = self.random.choice(choices.split())
        if end == "cut" and not is_async:
            end = "fail"
        return ENDS[end].format(tag=tag)

    def write(self) -> Suite:
        if self.chance(0.4):
            self.write_conftest("conftest")
            if self.chance(0.5):
                self.write_conftest("pkg.conftest")
            self.imports_always = self.chance(0.5)
        for path in ["pkg/test_m0", "test_m1", "test_m2"]:
            if "/" in path:
                self.suite.files["pkg/__init__.py"] = ""
            self.module = path.replace("/", ".")
            self.suite.files[f"{path}.py"] = "\n".join([HEAD, *self.lines_of_module()]) + "\n"
        return self.suite

    def write_conftest(self, module: str) -> None:
        fixtures: list[Fixture] = []
        self.of_conftests[module] = fixtures
        outer = [each for name, found in self.of_conftests.items() if name != module for each in found]
        lines = [HEAD, *self.import_of([name for name in self.of_conftests if name != module])]
        self.has_functions = True  # as far as any module may have them
        for number in range(self.random.randint(1, 3)):
            # pytest has the scope of a package begin where the fixture is.
            scope = self.random.choice([each for each in SCOPES if each != "package" or module.startswith("pkg.")])
            name = f"{module.replace('.', '_')}_{number}"
            autouse, known = None, self.visible(outer, fixtures)
            if outer and self.chance(0.3):
                # By its name it is used where the other one is, as pytest has it.
                overridden = self.random.choice(outer)
                name, scope, autouse, known = overridden.name, overridden.scope, overridden.autouse, []
            if name not in [each.name for each in fixtures]:
                lines += self.fixture(name, fixtures, known, "", f"{module}.", scope, autouse)
        self.suite.files[f"{module.replace('.', '/')}.py"] = "\n".join(lines) + "\n"

    def import_of(self, conftests: list[str]) -> Iterator[str]:
        for module in conftests:
            line = f"from {module} import {', '.join(each.name for each in self.of_conftests[module])}"
            yield line if self.imports_always else f"if 'pytest' not in sys.modules: {line}"

    def lines_of_module(self) -> Iterator[str]:
        around = [
            name for name in self.of_conftests if name.startswith(("conftest", self.module.rpartition(".")[0] or "-"))
        ]
        yield from self.import_of(around)
        outer = self.visible(*(self.of_conftests[name] for name in around))
        has_hooks = self.chance(0.4)
        self.has_functions = self.chance(0.6)
        short = self.module.rpartition(".")[2]
        hooks = list(self.hooks("Module", "", f"{short}")) if has_hooks else []
        if hooks and not any(line.startswith("async ") for line in hooks):
            self.has_functions = False  # pytest has its own order for these
        yield from hooks
        fixtures: list[Fixture] = outer
        for each in outer.copy():
            if self.chance(0.15):
                yield from self.fixture(each.name, fixtures, [], "", f"{short}.", each.scope, each.autouse)
        fixtures = self.visible(fixtures)
        for number in range(self.random.randint(0, 4)):
            yield from self.fixture(f"{short}_{number}", fixtures, fixtures, "", "")
        mixins: list[Fixture] = []
        if self.chance(0.5):
            yield "class Mixin:"
            for number in range(self.random.randint(1, 3)):
                yield from self.fixture(f"mixin_{number}", mixins, [*fixtures, *mixins], "    ", f"{short}.")
        for number in range(self.random.randint(0 if self.has_functions else 1, 3)):
            yield from self.case(f"Test{'ABC'[number]}", list(fixtures), mixins)
        if self.has_functions:
            for number in range(self.random.randint(1, 3)):
                yield from self.test(f"test_f{number}", fixtures, fixtures, "", f"{self.module}.")

    def fixture(
        self,
        name: str,
        into: list[Fixture],
        known: list[Fixture],
        indent: str,
        where: str,
        scope: str | None = None,
        autouse: bool | None = None,
    ) -> Iterator[str]:
        """A fixture that names some of those there are."""
        scope = scope or self.random.choice(SCOPES)
        rank = SCOPES.index(scope)
        is_async, is_generator = self.chance(0.6), self.chance(0.8)
        behind = [each for each in known if SCOPES.index(each.scope) >= rank and each.name != name and self.chance(0.3)]
        is_varying = self.chance(0.15) and (indent != "" or rank == 0 or not self.has_functions)
        if autouse is None:
            autouse = self.chance(0.5) if not indent else not self.chance(0.3)
        first = [] if not indent else ["self" if rank == 0 else "cls"]
        arguments = ", ".join([*first, *(each.name for each in behind), *(["request"] if is_varying else [])])
        options = f"scope={scope!r}, autouse={autouse}" + (", params=['p0', 'p1']" if is_varying else "")
        of = f"{where}{name}" + (" {request.param}" if is_varying else "")
        yield f"{indent}@asyncunit.fixture({options})"
        yield f"{indent}{'async ' if is_async else ''}def {name}({arguments}):"
        yield f"{indent}    note(f'{of} up')"
        yield f"{indent}    {self.end(f'wide {where}{name} up' if rank else f'{where}{name} up', is_async=is_async)}"
        value = " + ".join([repr(name), *(each.name for each in behind)])
        if is_generator:
            yield f"{indent}    yield {value}"
            yield f"{indent}    note(f'{of} down')"
            tag = f"wide {where}{name} down" if rank else f"{where}{name} down"
            # Outside a class what has the scope of one is a function's, and the error names that and not the fixture.
            choices = "fail" if scope == "class" and not indent else "fail fail cut"
            yield f"{indent}    {self.end(tag, is_async=is_async, choices=choices)}"
        else:
            yield f"{indent}    return {value}"
        into.append(Fixture(name, scope, ["p0", "p1"] if is_varying else [], autouse))

    def hooks(self, kind: str, indent: str, where: str) -> Iterator[str]:
        """Some of the hooks of a module, a class or a test."""
        for name in ("setUp", "asyncSetUp", "asyncTearDown", "tearDown"):
            if self.chance(0.5):
                continue
            is_async = name.startswith("async")
            hook = f"{name}{kind}"
            choices = "fail fail cut" if "TearDown" in name or name == "tearDown" else "fail fail skip cut"
            if kind == "Class":
                yield f"{indent}@classmethod"
            first = {"": "self", "Class": "cls", "Module": ""}[kind]
            yield f"{indent}{'async ' if is_async else ''}def {hook}({first}):"
            yield f"{indent}    note('{where}.{hook}')"
            tag = f"{where}.{hook}" if not kind else f"wide {where}.{hook}"
            yield f"{indent}    {self.end(tag, is_async=is_async, choices=choices)}"

    def case(self, name: str, fixtures: list[Fixture], mixins: list[Fixture]) -> Iterator[str]:
        has_mixin = bool(mixins) and self.chance(0.6)
        yield f"class {name}({'Mixin, ' if has_mixin else ''}asyncunit.AsyncTestCase):"
        where = f"{self.module.rpartition('.')[2]}.{name}"
        own: list[Fixture] = []
        inherited = mixins if has_mixin else []
        for each in inherited:
            if self.chance(0.25):
                # An override, of the same scope so that what rests on it may.
                yield from self.fixture(each.name, own, [], "    ", f"{where}.", each.scope)
        if self.chance(0.4):
            visible = self.visible(fixtures, inherited, own)
            yield from self.fixture("own", own, visible, "    ", f"{where}.")
        yield from self.hooks("Class", "    ", where)
        yield from self.hooks("", "    ", where)
        visible = self.visible(fixtures, inherited, own)
        for letter in "abc"[: self.random.randint(1, 3)]:
            yield from self.test(f"test_{letter}", visible, visible, "    ", f"{self.module}.{name}.")

    def visible(self, *groups: list[Fixture]) -> list[Fixture]:
        return list({each.name: each for group in groups for each in group}.values())

    def test(self, name: str, visible: list[Fixture], nameable: list[Fixture], indent: str, path: str) -> Iterator[str]:
        named = [each.name for each in nameable if self.chance(0.25)]
        is_async = self.chance(0.7) or not indent
        arguments = ", ".join([*(["self"] if indent else []), *named])
        short = path.removeprefix("pkg.")
        yield f"{indent}{'async ' if is_async else ''}def {name}({arguments}):"
        yield f"{indent}    note('{short}{name} ' + ' '.join([{', '.join(named)}]))"
        yield f"{indent}    {self.end(f'{short}{name}', is_async=is_async)}"


# What each runner does.


@dataclasses.dataclass
class Outcome:
    """What came of a run: the verdicts by test, or by class or module where none of its tests has come to be run;
    the errors that were planted and reported; the order of all.
    """

    verdicts: dict[str, str]
    errors: set[str]
    events: list[str]
    output: str

    def verdict_of(self, test: str) -> str | None:
        """That of a test, or of what it is in."""
        if test in self.verdicts:
            return self.verdicts[test]
        around = (name for name in self.verdicts if test.startswith((f"{name}.", f"{name}[")))
        return next((self.verdicts[name] for name in around), None)


def run(directory: Path, runner: str) -> Outcome:
    events = directory / f"events.{runner}"
    report = directory / "report.xml"
    command = {
        "unittest": ["-m", "unittest", "-v"],
        "asyncunit": ["-m", "asyncunit", "-v"],
        "pytest": ["-m", "pytest", "-q", "-rN", "-p", "no:cacheprovider", f"--junitxml={report}"],
    }[runner]
    environ = {"EVENTS": str(events), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "ASYNCUNIT_MODE": "auto"}
    if runner == "pytest":
        command += ["-p", "asyncunit.pytest_entry"]
    done = python(*command, cwd=directory, timeout=120, **environ)
    text = done.stdout + done.stderr
    written = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
    shown = text + (report.read_text(encoding="utf-8") if runner == "pytest" else "")
    verdicts = _of_pytest(report) if runner == "pytest" else _of_unittest(text)
    return Outcome(verdicts, _planted(shown), written, text)


def _planted(text: str) -> set[str]:
    """The planted errors that were reported; where the line that raises one is shown, that is no report."""
    lines = (line for line in text.splitlines() if "raise ValueError" not in line)
    return {found for line in lines for found in re.findall(r"ValueError: boom:([\w. ]+)", line)}


# From the best to the worst; of several the worst counts.
ORDER = ["ok", "skip", "fail"]


def _of_unittest(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path, verdict in re.findall(r"^(\S+) \(([\w.\[\]-]+)\) \.\.\. (ok|FAIL|ERROR|skipped)", text, re.M):
        if name.startswith(("test", "setUp")) or verdict == "skipped":
            is_now = {"ok": "ok", "skipped": "skip"}.get(verdict, "fail")
            if name.startswith("setUp"):  # what comes after is of a fixture that was set up before the hook
                found.setdefault(path, is_now)
            else:
                found[path] = max(found.get(path, "ok"), is_now, key=ORDER.index)
    return found


def _of_pytest(report: Path) -> dict[str, str]:
    """What comes of a wide scope that closes is told with the test that was the last in it, and is not its verdict."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        for part in case:
            text = f"{part.get('message')} {part.text}"
            # But what comes of the test as it is torn down is told there, too, and the second error of a test case.
            is_of_test = re.search(r"boom:(?!wide)|the scope 'test_", text)
            is_wide = not is_of_test and re.search(r"boom:wide|the scope '(class|module|package|session)", text)
            if ".Test" in name:
                is_wide = not is_of_test
            if part.tag == "skipped":
                found[name] = max(found.get(name, "ok"), "skip", key=ORDER.index)
            elif part.tag in ("failure", "error") and not (is_wide and "failed on teardown" in text):
                found[name] = "fail"
        found.setdefault(name, "ok")
    return found


def differences(one: Outcome, other: Outcome) -> list[str]:
    names = {*one.verdicts, *other.verdicts}
    many = {name.partition("[")[0] for name in names if "[" in name}
    found = [
        f"verdict of {test}: {one.verdict_of(test)}, {other.verdict_of(test)}"
        for test in sorted(names - many)
        if ".test_f" in test or ".test_" in test.partition(".Test")[2]
        if one.verdict_of(test) != other.verdict_of(test)
    ]
    if one.errors != other.errors:
        found.append(f"errors: {sorted(one.errors - other.errors)}, {sorted(other.errors - one.errors)}")
    if one.events != other.events:
        index = next(
            (index for index, pair in enumerate(zip(one.events, other.events, strict=False)) if pair[0] != pair[1]),
            min(len(one.events), len(other.events)),
        )
        around = slice(max(0, index - 2), index + 4)
        found.append(f"order at {index}:\n    {one.events[around]}\n    {other.events[around]}")
    return found


def write(suite: Suite, directory: Path) -> None:
    for name, text in suite.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")


def compare(seed: int, directory: Path) -> list[str]:
    """What differs for the suite of a seed."""
    suite = Writer(seed).write()
    write(suite, directory)
    outcomes = {runner: run(directory, runner) for runner in ("unittest", "asyncunit", "pytest")}
    for runner, outcome in outcomes.items():
        (directory / f"output.{runner}").write_text(outcome.output, encoding="utf-8")
    assert outcomes["unittest"].events, outcomes["unittest"].output
    return [
        f"{runner}: {text}"
        for runner in ("asyncunit", "pytest")
        for text in differences(outcomes["unittest"], outcomes[runner])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    different = 0
    for seed in range(options.first, (options.last or options.first) + 1):
        with tempfile.TemporaryDirectory() as directory:
            found = compare(seed, options.keep or Path(directory))
        different += bool(found)
        for text in found:
            print(f"{seed} {text}", flush=True)
    print(f"{different} differ")


if __name__ == "__main__":
    main()
