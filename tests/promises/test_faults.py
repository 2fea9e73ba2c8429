"""Each fault, in each phase of each scope: what is reported, and that a healthy test after it passes.

Nothing here is typed case by case: `CASES` is the product, without what there is no such thing as (a hook of a session,
a test of a class).
"""

import asyncio
import itertools
import sys
import unittest
import warnings
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

import asyncunit
from asyncunit import AsyncTestCase, AsyncUnitWarning, CutShortError, LeftBehindError, LoopClosedError, Scope
from asyncunit import TestTimeoutError as TimedOut
from asyncunit.introspection.tracebacks import all_of
from asyncunit.mixins import TemporaryDirectory
from tests.support import Result, module_of

PACKAGE, UNITTEST = (Path(module.__file__).parent for module in (asyncunit, unittest))


class BoomError(Exception):
    """The original error, which is to be in the report once."""


# What is waited for, so that no task that waits is garbage, and collected at any time.
events = []


async def forever():
    events.append(asyncio.Event())
    await events[-1].wait()


# The faults. Each is called in the phase where it is to come up.


async def exception():
    raise BoomError


async def skip():
    raise unittest.SkipTest("not today")


async def cancellation():
    raise asyncio.CancelledError


async def self_cancel():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def timeout():
    await forever()


async def keyboard_interrupt():
    raise KeyboardInterrupt


async def system_exit_in_a_task():
    async def leave():
        raise SystemExit(3)

    await asyncio.create_task(leave())


async def leaked_task():
    asyncio.create_task(forever())


async def crashed_background_task():
    asyncio.create_task(exception())
    await asyncio.sleep(0)


async def error_in_a_callback():
    def callback():
        raise BoomError

    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(0)


def closed_loop():
    asyncio.get_event_loop().close()


async def second_yield():
    """The fixture does it itself."""


FAULTS = [
    exception,
    skip,
    cancellation,
    self_cancel,
    timeout,
    keyboard_interrupt,
    system_exit_in_a_task,
    leaked_task,
    crashed_background_task,
    error_in_a_callback,
    closed_loop,
    second_yield,
]
PHASES = ["fixture set-up", "fixture tear-down", "set-up", "test", "tear-down", "cleanup"]
HOOKS = {Scope.FUNCTION: "", Scope.CLASS: "Class", Scope.MODULE: "Module"}


def exists(fault, phase, scope):
    if fault is second_yield:
        return phase == "fixture tear-down"
    if phase == "test":
        return scope is Scope.FUNCTION
    if fault is closed_loop and scope is Scope.MODULE:
        return phase.startswith("fixture")  # the sync hooks of a module without async ones have no loop
    return phase.startswith("fixture") or scope in HOOKS


CASES = [case for case in itertools.product(FAULTS, PHASES, Scope) if exists(*case)]


def fixture_with(fault, phase, scope):
    if fault is closed_loop:

        def value(_):
            if phase == "fixture set-up":
                fault()
            yield
            if phase == "fixture tear-down":
                fault()
    else:

        async def value(_):
            if phase == "fixture set-up":
                await fault()
            yield
            if fault is second_yield:
                yield
            if phase == "fixture tear-down":
                await fault()

    return {"value": asyncunit.fixture(scope=str(scope))(value)}


def hook_with(fault, phase, scope):
    """The hook for the phase, sync for the fault that is."""
    is_sync = fault is closed_loop
    name = ("setUp" if phase != "tear-down" else "tearDown") + HOOKS[scope]
    name = name if is_sync else f"async{name[0].upper()}{name[1:]}"

    def register(self):
        if scope is Scope.FUNCTION:
            (self.addCleanup if is_sync else self.addAsyncCleanup)(fault)
        elif scope is Scope.CLASS:
            (self.addClassCleanup if is_sync else self.addAsyncClassCleanup)(fault)
        elif is_sync:
            unittest.addModuleCleanup(fault)
        else:
            asyncunit.addAsyncModuleCleanup(fault)

    def sync_hook(*self):
        if phase == "cleanup":
            register(*self or (None,))
        else:
            fault()

    async def async_hook(*self):
        if phase == "cleanup":
            register(*self or (None,))
        else:
            await fault()

    hook = sync_hook if is_sync else async_hook
    return {name: classmethod(hook) if scope is Scope.CLASS else hook}


def suite_with(stack, fault, phase, scope):
    """A suite of two modules: in the first a class with the fault, in the second a healthy one."""
    members = {"loop_scope": "session"}
    hooks = {}
    if phase.startswith("fixture"):
        members |= fixture_with(fault, phase, scope)
    elif phase != "test":
        made = hook_with(fault, phase, scope)
        (hooks if scope is Scope.MODULE else members).update(made)

    def sync_test(self): ...

    async def async_test(self): ...

    if phase == "test":
        test = closed_loop if fault is closed_loop else fault
        members["test_faulty"] = (lambda self: test()) if fault is closed_loop else _method(test)
    else:
        members["test_faulty"] = async_test
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    for name, extra, more in (
        ("Faulty", members, hooks),
        ("Healthy", {"loop_scope": "session", "test_healthy": async_test, "test_sync": sync_test}, {}),
    ):
        bases = (AsyncTestCase,) if name == "Faulty" else (TemporaryDirectory, AsyncTestCase)
        module = stack.enter_context(module_of("", f"{name.lower()}_module"))
        vars(module).update(more)
        setattr(module, name, type(name, bases, {**extra, "__module__": module.__name__}))
        suite.addTests(loader.loadTestsFromModule(module))
    return suite


def healthy_part():
    """What is still to be run after Ctrl-C has ended the run."""
    return unittest.TestLoader().loadTestsFromModule(sys.modules["healthy_module"])


def _method(function):
    async def test(self):
        await function()

    return test


def run(suite):
    """Run it as a runner does; the result, the AsyncUnitWarnings, and whether Ctrl-C ended it."""
    result = Result()
    interrupted = False
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        result.startTestRun()
        for step in (lambda: suite.run(result), lambda: result.stopTestRun()):
            try:
                step()
            except KeyboardInterrupt:
                interrupted = True
    return result, [str(warning.message) for warning in shown if warning.category is AsyncUnitWarning], interrupted


# What is to be found in the report exactly once, by fault.
ORIGINAL = {
    exception: BoomError,
    cancellation: (asyncio.CancelledError, CutShortError),
    self_cancel: (asyncio.CancelledError, CutShortError),
    timeout: TimedOut,
    system_exit_in_a_task: SystemExit,
    crashed_background_task: BoomError,
    error_in_a_callback: BoomError,
    closed_loop: LoopClosedError,
    second_yield: asyncunit.DefinitionError,
}
BEFORE_THE_TEST = ("fixture set-up", "set-up")


def passes(fault, phase, scope):
    """Whether the test of the faulty class is a success."""
    if fault is leaked_task:
        return True
    if fault is skip:
        return phase not in BEFORE_THE_TEST and scope is not Scope.FUNCTION
    if scope is Scope.FUNCTION:
        return False
    if fault in (crashed_background_task, error_in_a_callback):
        return True  # it comes up while no test runs, and is the scope's
    return phase not in BEFORE_THE_TEST


@pytest.mark.parametrize(
    ("fault", "phase", "scope"), CASES, ids=[f"{fault.__name__}-{phase}-{scope}" for fault, phase, scope in CASES]
)
def test_a_fault_is_reported_once_and_harms_no_other_test(fault, phase, scope, capfd, monkeypatch):
    monkeypatch.setenv("ASYNCUNIT_TIMEOUT", "0.2" if fault is timeout else "60")
    with ExitStack() as stack:
        suite = suite_with(stack, fault, phase, scope)
        result, warned, interrupted = run(suite)
        if interrupted:
            result, warned, _ = run(healthy_part())
    assert interrupted == (fault is keyboard_interrupt)
    if not interrupted:
        assert ("test_faulty" in result.passed) == passes(fault, phase, scope), (result.raised, warned)
    assert {"test_healthy", "test_sync"} <= set(result.passed), (result.raised, warned)

    found = Counter()
    if fault in ORIGINAL:
        for _, error in result.raised:
            found.update(id(other) for other in all_of(error) if isinstance(other, ORIGINAL[fault]))
        heads = [error for _, error in result.raised]
        assert len(heads) == 1, result.raised
        assert set(found.values()) == {1}
    elif fault is skip:
        assert result.raised == []
    elif fault is leaked_task:
        assert result.raised == []
        assert len(warned) == 1
        assert "a pending task" in warned[0]
    if fault in (crashed_background_task, error_in_a_callback):
        assert isinstance(result.raised[0][1], LeftBehindError)
    assert "Traceback" not in capfd.readouterr().err
    for _, text in result.errors:
        assert f"{PACKAGE}/" not in text
        assert f"{UNITTEST}/" not in text
