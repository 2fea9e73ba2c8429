"""The command line: ``python -m asyncunit``, which takes what ``python -m unittest`` takes, and draws plans.

A plan is a tree of what would be run: which tests share which event loop, and why; where fixtures are set up.

Of unittest's private names, this uses ``_exception`` of its loader's tests, which alone says what could not be loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import traceback
import types
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import asyncunit
from asyncunit.cases.case import AsyncTestCase
from asyncunit.cases.loader import AsyncTestLoader, FailedFunction, FunctionTestCase, error_of, flat
from asyncunit.config.settings import Config
from asyncunit.config.sources import load
from asyncunit.errors import AsyncUnitError
from asyncunit.introspection.tracebacks import users_lines
from asyncunit.plans import class_plan as plans
from asyncunit.plans import loop_choice
from asyncunit.plans.fixtures import Node
from asyncunit.scope import Scope, path_of_module

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# How the loops of each scope are coloured, as ANSI terminals number colours.
_COLORS = {"session": 35, "package": 34, "module": 36, "class": 32, "function": 33}
# What the lines are drawn with where a stream cannot have them.
_IN_ASCII = str.maketrans("│├└─", "|+`-")


@dataclasses.dataclass
class Outline:
    """A scope, or a test, and what stands in it.

    ``loop`` is the scope that owns the loop on which it runs, None where it needs none; ``why`` says why that is so,
    and ``error`` what is wrong with it. ``fixtures`` are set up for it. ``cut_off`` says how many tests are in it
    and not shown.
    """

    kind: str
    name: str
    loop: str | None = None
    why: str | None = None
    error: str | None = None
    fixtures: list[str] = dataclasses.field(default_factory=list)
    cut_off: str | None = None
    _children: dict[tuple[str, str], Outline] = dataclasses.field(default_factory=dict)

    @property
    def children(self) -> list[Outline]:
        """What stands in it, in the order in which that was added."""
        return list(self._children.values())

    @property
    def has_errors(self) -> bool:
        """Whether anything is wrong with it, or with what stands in it."""
        return self.error is not None or any(child.has_errors for child in self._children.values())

    def child(self, kind: str, name: str) -> Outline:
        """The child of that kind and name, a new one where there is none yet."""
        return self._children.setdefault((kind, name), Outline(kind, name))

    @property
    def test_count(self) -> int:
        """How many tests are in it; a test is one."""
        return (self.kind == "test") + sum(child.test_count for child in self._children.values())

    def down_to(self, depth: int) -> Outline:
        """The tree down to that many levels below this one; what is wrong further down is said where the tree ends."""
        cut = dataclasses.replace(self, _children={})
        if depth > 0:
            cut._children = {key: child.down_to(depth - 1) for key, child in self._children.items()}
        elif self._children:
            count = self.test_count
            cut.cut_off = f"{count} test{'s' if count != 1 else ''}"
            cut.error = self.error or next(self._errors(), None)
        return cut

    def _errors(self) -> Iterator[str]:
        for child in self._children.values():
            if child.error is not None:
                yield f"{child.name}: {child.error}"
            yield from child._errors()

    def set_up(self, fixtures: Iterable[str]) -> None:
        """Note fixtures that are set up for it, each once."""
        self.fixtures += [name for name in dict.fromkeys(fixtures) if name not in self.fixtures]


def of_suite(suite: unittest.TestSuite, config: Config | None = None) -> Outline:
    """The tree of a suite of unittest's."""
    session = Outline("session", "")
    config = config or load()
    for test in flat(suite):
        if type(test).__module__ == unittest.loader.__name__:
            # In the place of a module that could not be loaded, or that skips itself.
            error = vars(test).get("_exception")
            session.child("test", test._testMethodName).error = None if error is None else relative(str(error))
        else:
            add_case(session, type(test), test._testMethodName, config)
    return session


def module_of(session: Outline, name: str) -> tuple[Outline, Outline]:
    """The package and the module of that name."""
    package = session.child("package", str(path_of_module(name)[1][1]) or "(modules outside any package)")
    return package, package.child("module", name)


def add_case(session: Outline, cls: type[unittest.TestCase], name: str, config: Config) -> None:
    """Add a test of a class; a function at the top of a module is one, too."""
    package, module = module_of(session, cls.__module__)
    is_function = issubclass(cls, FunctionTestCase | FailedFunction)
    around = module if is_function else module.child("class", cls.__qualname__)
    test = around.child("test", name)
    refused = error_of(getattr(cls, name, None))
    test.error = None if refused is None else relative(str(refused))
    if not issubclass(cls, AsyncTestCase):
        return
    owner = test if is_function else around  # each function has a class of its own
    try:
        choice = loop_choice.choose(cls, config)
        plan = plans.plan_of(cls)
        own = plan.of_test(name, getattr(cls, name))
    except AsyncUnitError as error:
        owner.error = relative(str(error))
        return
    at = {Scope.SESSION: session, Scope.PACKAGE: package, Scope.MODULE: module, Scope.CLASS: owner}
    nodes = [*plan.shared, *own.wide, *own.own, *own.named]
    for node in nodes:
        (test if node.is_of_test else at[node.fixture.scope]).set_up([_title(node)])
    owner.loop, owner.why = str(choice.scope), relative(choice.reason)
    test.loop = owner.loop
    if test.error is None:
        test.error = plans.unknown_parameter(plan, name, own)


def relative(text: str) -> str:
    """The text, with the paths in it relative: to the working directory, or to where Python imports from.

    So plans that are made on different machines can be compared.
    """
    directory = str(Path.cwd())
    others = sorted((each for each in sys.path if Path(each).is_absolute()), key=len, reverse=True)
    for each in (directory, *others):
        if each := each.rstrip(os.sep):
            text = text.replace(each + os.sep, "")
    return text


def _title(node: Node) -> str:
    return f"{node.fixture.name}{'' if node.fixture.is_async else ' (sync)'}"


def as_json(outline: Outline) -> str:
    """The tree for other programs: objects with the attributes of `Outline`, those left out that say nothing."""
    return json.dumps(_as_dict(outline), indent=2)


def _as_dict(outline: Outline) -> dict[str, Any]:
    found = {**vars(outline), "children": [_as_dict(child) for child in outline.children]}
    return {key: value for key, value in found.items() if key != "_children" and value not in (None, "", [])}


def write(outline: Outline, stream: TextIO) -> None:
    """Write the tree for people, in colours and with lines where the stream has them; else in ASCII."""
    text = as_text(outline, color=takes_color(stream)) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_IN_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text)


def takes_color(stream: TextIO) -> bool:
    """Whether colours are for the stream: a terminal, and NO_COLOR is not set (no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def as_text(outline: Outline, *, color: bool = False) -> str:
    """The tree for people."""
    return "\n".join(_lines(outline, "", "", color=color))


def _lines(outline: Outline, first: str, others: str, *, color: bool) -> Iterator[str]:
    yield first + _line(outline, color=color)
    if outline.error is not None:
        for line in outline.error.splitlines():
            yield f"{others}{'│' if outline.children else ' '}  {_painted(line, 31, color=color)}"
    if outline.fixtures and outline.kind != "test":
        yield f"{others}{'│' if outline.children else ' '}  fixtures: {', '.join(outline.fixtures)}"
    children = outline.children
    for child in children:
        is_last = child is children[-1]
        yield from _lines(
            child, others + ("└─ " if is_last else "├─ "), others + ("   " if is_last else "│  "), color=color
        )


def _line(outline: Outline, *, color: bool) -> str:
    name = outline.name if outline.kind == "test" else f"{outline.kind} {outline.name}".rstrip()
    if outline.why is not None:
        loop = "a loop of its own" if outline.loop == "function" else f"the {outline.loop} loop"
        if outline.kind == "class" and outline.loop == "function":
            loop = "a loop for each test"
        name += f"  on {_painted(loop, _COLORS[str(outline.loop)], color=color)} ({outline.why})"
    if outline.cut_off is not None:
        name += f"  {outline.cut_off}"
    if outline.kind == "test" and outline.fixtures:
        name += f"  fixtures: {', '.join(outline.fixtures)}"
    return name


def _painted(text: str, number: int, *, color: bool) -> str:
    return f"\033[{number}m{text}\033[0m" if color else text


# The command line.


_ABOUT_PLAN = """\
python -m asyncunit plan ... takes the same arguments, runs nothing, and draws which tests share which event loop, and
why. It ends with 1 if something is wrong with a test. Its own options:
  --json       the plan as JSON, with relative paths, to be compared in CI
  --depth N    only N levels below the session: 1 packages, 2 modules, 3 classes, 4 tests
python -m asyncunit --version shows the version.
"""


class main(unittest.TestProgram):  # noqa: N801 - named as unittest's is
    """As unittest.main(), with `AsyncTestLoader`: run the tests of a module, or what the command line says.

    ``python -m asyncunit plan`` takes the same arguments, runs nothing, and draws what would be run: which tests share
    which event loop, and why. ``--json`` gives it as JSON, and ``--depth N`` draws N levels below the session. Where
    something is wrong with a test, it ends with 1.
    """

    # unittest's own attributes.
    test: unittest.TestSuite
    exit: bool
    progName: str
    testNamePatterns: list[str] | None
    result: unittest.TestResult

    def __init__(
        self,
        module: types.ModuleType | str | None = "__main__",
        defaultTest: Any = None,
        argv: list[str] | None = None,
        **options: Any,
    ) -> None:
        argv = list(argv or sys.argv)
        self._plan: argparse.Namespace | None = None
        if argv[1:2] == ["plan"]:
            self._plan, others = _plan_options().parse_known_args(argv[2:])
            argv[1:] = others
        self._loader: unittest.TestLoader = options.setdefault("testLoader", AsyncTestLoader())
        super().__init__(module, defaultTest, argv, **options)

    def parseArgs(self, argv: list[str]) -> None:
        """Read the command line; beyond what unittest's help says, say what there is more."""
        if "--version" in argv[1:]:
            sys.stdout.write(f"asyncunit {asyncunit.__version__} (Python {platform.python_version()})\n")
            sys.exit(0)
        try:
            super().parseArgs(argv)
        except SystemExit as ended:
            if not ended.code and {"-h", "--help"} & set(argv):
                sys.stdout.write(f"\n{_ABOUT_PLAN}")
            raise

    def createTests(self, from_discovery: bool = False, Loader: Any = None) -> None:
        """Load the tests; a mistake in a definition or in the configuration ends the program."""
        if self.testNamePatterns:  # brackets are part of names, and not a choice of letters
            self.testNamePatterns = [pattern.replace("[", "[[]") for pattern in self.testNamePatterns]
        try:
            super().createTests(from_discovery, Loader)
        except AsyncUnitError as error:
            if not self.exit:
                raise
            lines = traceback.format_list(users_lines(error))
            sys.stderr.write(f"{''.join(lines)}{self.progName}: error: {error}\n")
            sys.exit(2)

    def runTests(self) -> None:
        """Run the tests; or draw their plan."""
        if self._plan is not None:
            self._draw(self._plan)
            return
        left_out = getattr(self._loader, "left_out", None)
        if left_out and not self.test.countTestCases():
            sys.stderr.write("".join(f"{self.progName}: {text}\n" for text in left_out))
        super().runTests()

    def _draw(self, options: argparse.Namespace) -> None:
        tree = of_suite(self.test)
        shown = tree if options.depth is None else tree.down_to(options.depth)
        if options.json:
            sys.stdout.write(as_json(shown) + "\n")
        else:
            write(shown, sys.stdout)
        if self.exit:
            sys.exit(1 if tree.has_errors else 0)


def _plan_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m asyncunit plan", add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--depth", type=int)
    return parser
