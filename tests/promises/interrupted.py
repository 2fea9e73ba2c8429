"""Ctrl-C at the n-th line that is executed in asyncunit, for each n: python -m tests.promises.interrupted

A suite with hooks, fixtures, cleanups and contexts at each level is run once for each line, in this process, and SIGINT
comes at that line. After it, what had been set up is torn down, in its place; the run has ended by KeyboardInterrupt;
nothing was left un-awaited, open or pending. Lines that differ are printed. Numbers of lines may follow, ``--step N``
tries each N-th, ``--scope function`` another loop scope, and ``--runner pytest`` functions under pytest.
"""

import argparse
import contextlib
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import time
import types
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncunit.scopes import registry
from tests.support import module_of

SUITE = """
import asyncio
import contextlib
import os
import asyncunit

EVENTS = []


def up(name):
    EVENTS.append("+" + name)


def down(name):
    EVENTS.append("-" + name)


@contextlib.asynccontextmanager
async def entered(name):
    up(name)
    try:
        yield
    finally:
        down(name)


async def clean_up(name):
    # As whoever cleans up is to: what comes while it waits, Ctrl-C as well, keeps it from nothing.
    try:
        await asyncio.sleep(0)
    finally:
        down(name)


async def asyncSetUpModule():
    await asyncunit.enterAsyncModuleContext(entered("module context"))


async def asyncTearDownModule():
    await asyncio.sleep(0)


@asyncunit.fixture(scope="module")
async def of_the_module():
    up("module fixture")
    try:
        yield
    finally:
        await clean_up("module fixture")


class Test(asyncunit.AsyncTestCase):
    loop_scope = LOOP_SCOPE

    @asyncunit.fixture(scope="class")
    def of_the_class(cls, of_the_module):
        up("class fixture")
        try:
            yield
        finally:
            down("class fixture")

    @asyncunit.fixture
    async def of_the_test(self, of_the_class):
        up("fixture")
        try:
            yield
        finally:
            await clean_up("fixture")

    @asyncunit.fixture
    def sync(self, of_the_test):
        up("sync fixture")
        try:
            yield
        finally:
            down("sync fixture")

    @classmethod
    async def asyncSetUpClass(cls):
        await cls.enterAsyncClassContext(entered("class context"))

    @classmethod
    async def asyncTearDownClass(cls):
        await asyncio.sleep(0)

    def setUp(self):
        up("setUp")
        self.addCleanup(down, "setUp")

    async def asyncSetUp(self):
        await self.enterAsyncContext(entered("context"))
        up("cleanup")
        self.addAsyncCleanup(clean_up, "cleanup")

    async def test_1(self):
        await asyncio.sleep(0)

    def test_2(self):
        pass

    async def asyncTearDown(self):
        await asyncio.sleep(0)
"""
# The same for functions, under pytest.
FUNCTIONS = """
import asyncio
import pytest
import asyncunit
from interrupted_events import EVENTS

pytestmark = pytest.mark.asyncunit(loop_scope=LOOP_SCOPE)


def up(name):
    EVENTS.append("+" + name)


def down(name):
    EVENTS.append("-" + name)


async def clean_up(name):
    try:
        await asyncio.sleep(0)
    finally:
        down(name)


@pytest.fixture(scope="module")
def of_the_module():
    up("module fixture")
    yield
    down("module fixture")


@asyncunit.pytest_plugin.fixture
async def of_the_test(of_the_module):
    up("fixture")
    try:
        yield
    finally:
        await clean_up("fixture")


@pytest.fixture
def sync(of_the_test):
    up("sync fixture")
    yield
    down("sync fixture")


async def test_1(sync):
    await asyncio.sleep(0)


def test_2(sync):
    pass


class TestCase(asyncunit.AsyncTestCase):
    loop_scope = LOOP_SCOPE

    async def asyncSetUp(self):
        up("cleanup")
        self.addAsyncCleanup(clean_up, "cleanup")

    async def test_3(self):
        await asyncio.sleep(0)
"""
# A loop that lasts as long as the module's hooks and fixtures.
SCOPES = {"class": "session", "function": "function"}


# The module that the function which sends the signal is said to be of.
_OWN = "asyncunit.traced"


class Came(NamedTuple):
    """What has come of a run: what is wrong, how many lines were executed, and the line at which the signal came."""

    faults: list[str]
    lines: int
    place: str


class _Tracer:
    """Sends SIGINT at the n-th line executed in asyncunit; zero is never.

    The function that traces is said to be asyncunit's, too, because the handler looks at where the signal came.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = 0
        self.place = ""
        names: dict[str, Any] = {"__name__": _OWN, "tracer": self, "interrupt": self._interrupt}
        exec(
            "def each_line(frame, event, argument):\n"
            "    if event == 'line':\n"
            "        tracer.lines += 1\n"
            "        if tracer.lines == tracer.number:\n"
            "            interrupt(frame)\n"
            "    return each_line\n",
            names,
        )
        self._each_line = names["each_line"]

    def _interrupt(self, frame: Any) -> None:
        self.place = f"{frame.f_globals.get('__name__')}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        names: dict[str, Any] = {"__name__": _OWN, "raise_signal": signal.raise_signal}
        exec(f"raise_signal({int(signal.SIGINT)})", names)

    def __call__(self, frame: Any, _event: str, _argument: object) -> Any:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "__del__":  # what is raised there is lost, whatever anyone does
            return None
        return self._each_line if name.partition(".")[0] == "asyncunit" and name != _OWN else None


@contextlib.contextmanager
def _traced(tracer: _Tracer) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


class Ended(NamedTuple):
    """What a runner has come to: whether Ctrl-C ended the run, what was set up and torn down, what it reported."""

    is_interrupted: bool
    events: list[str]
    reported: list[str]


def _source(scope: str) -> str:
    source = SUITE.replace("LOOP_SCOPE", repr(SCOPES[scope]))
    if scope == "function":  # there is no loop for these
        source = source.replace('scope="module")\nasync def', 'scope="module")\ndef')
        source = source.replace('await clean_up("module fixture")', 'down("module fixture")')
        for name in ("asyncSetUpModule", "asyncTearDownModule", "asyncSetUpClass", "asyncTearDownClass"):
            source = source.replace(f"async def {name}", f"async def left_out_{name}")
    return source


def _under_unittest(scope: str, tracer: _Tracer) -> Ended:
    is_interrupted = False
    with module_of(_source(scope), "interrupted_suite") as module:
        suite = unittest.TestLoader().loadTestsFromModule(module)
        result = unittest.TestResult()
        try:
            with _traced(tracer):
                result.startTestRun()
                try:
                    suite.run(result)
                finally:
                    result.stopTestRun()
        except KeyboardInterrupt:
            is_interrupted = True
        return Ended(is_interrupted, module.EVENTS.copy(), [text for _, text in result.errors + result.failures])


def _under_pytest(scope: str, tracer: _Tracer) -> Ended:
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()) as output:
        path = Path(directory, "test_interrupted_suite.py")
        path.write_text(FUNCTIONS.replace("LOOP_SCOPE", repr(SCOPES[scope])))
        arguments = ["-q", "-p", "asyncunit", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:anyio"]
        arguments += [
            "-s",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-c",
            os.devnull,
            f"--rootdir={directory}",
            str(path),
        ]
        events: list[str] = []
        sys.modules["interrupted_events"] = types.ModuleType("interrupted_events")
        vars(sys.modules["interrupted_events"])["EVENTS"] = events
        try:
            with _traced(tracer):
                status = pytest.main(arguments)
        except KeyboardInterrupt:
            return Ended(True, events, [])  # as in pytest's own code around the session
        finally:
            sys.modules.pop("test_interrupted_suite", None)
            del sys.modules["interrupted_events"]
    is_interrupted = status == pytest.ExitCode.INTERRUPTED
    return Ended(is_interrupted, events, [] if is_interrupted or status == 0 else [output.getvalue()])


RUNNERS = {"unittest": _under_unittest, "pytest": _under_pytest}


def run(number: int, scope: str = "class", runner: str = "unittest") -> Came:
    """Run the suite, with SIGINT at that line; what is wrong after it."""
    tracer = _Tracer(number)
    unraisable: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda args: unraisable.append(args.exc_value)
    before = threading.active_count()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with contextlib.redirect_stderr(io.StringIO()) as stderr, warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            ended = RUNNERS[runner](scope, tracer)
            left = [str(run) for run in registry.all_runs()]
            while registry.runs():
                registry.end(registry.runs()[-1])
            gc.collect()
    finally:
        sys.unraisablehook = hook
    faults = _unbalanced(ended.events)
    if tracer.place and not ended.is_interrupted:
        faults.append("Ctrl-C was lost")
    if ended.is_interrupted and not tracer.place:
        faults.append("ended by a Ctrl-C that nobody sent")
    faults += [f"warned: {warning.message}" for warning in shown if not _is_meant(warning)]
    faults += [f"unraisable: {error!r}" for error in unraisable]
    faults += [f"the run {run} was left" for run in left]
    if stderr.getvalue():
        faults.append(f"on stderr: {stderr.getvalue()}")
    if not tracer.place or runner == "pytest":
        faults += ended.reported
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        faults.append("the handler of SIGINT was left")
    ends = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < ends:
        time.sleep(0.001)
    if threading.active_count() > before:
        faults.append(f"threads were left: {threading.enumerate()}")
    return Came(faults, tracer.lines, tracer.place)


def _is_meant(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, (DeprecationWarning, pytest.PytestAssertRewriteWarning))


def _unbalanced(events: list[str]) -> list[str]:
    """What was set up and not torn down, or not in its place."""
    faults, open_ones = [], []
    for event in events:
        name = event[1:]
        if event[0] == "+":
            open_ones.append(name)
        elif name not in open_ones:
            faults.append(f"{name} was torn down, and was not set up")
        else:
            if open_ones[-1] != name:
                faults.append(f"{name} was torn down while {open_ones[-1]} was still set up")
            open_ones.remove(name)
    return faults + [f"{name} was never torn down" for name in open_ones]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", nargs="*", type=int)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--scope", choices=SCOPES, default="class")
    parser.add_argument("--runner", choices=RUNNERS, default="unittest")
    options = parser.parse_args()
    whole = run(0, options.scope, options.runner)
    print(f"{whole.lines} lines; without a signal: {whole.faults or 'nothing is wrong'}", flush=True)
    tried = options.lines or range(1, whole.lines + 1, options.step)
    wrong = 0
    for number in tried:
        came = run(number, options.scope, options.runner)
        if came.faults:
            wrong += 1
            print(f"{number}: {came.place}", *came.faults, sep="\n    ", flush=True)
    print(f"{wrong} of {len(tried)} lines")


if __name__ == "__main__":
    main()
