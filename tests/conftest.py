import asyncio
import contextvars
import gc

import pytest

from asyncunit import Scope
from asyncunit.checks.unhandled_errors import Observer
from asyncunit.config.settings import Config
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.pytest_plugin.run import Position, PytestRun
from asyncunit.scope import path_of_module
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope


@pytest.fixture(autouse=True, scope="module")
def only_garbage_of_this_module():
    """Garbage collections, of which our checks make many, pass over what was there before the module."""
    gc.freeze()
    yield
    gc.collect()


def open_scope(scope=Scope.CLASS):
    opened = OpenScope(scope, "example", contextvars.copy_context())
    opened.config = Config()
    return opened


@pytest.fixture
def loop_runner():
    """A loop, and what is needed to close it."""
    loop_runner = LoopRunner(open_scope(), None, None, Observer)
    yield loop_runner
    loop_runner.close()


@pytest.fixture
def scope(loop_runner):
    """The task of a class on the loop."""
    return ScopeTask(loop_runner, open_scope())


@pytest.fixture
def inner(loop_runner):
    """The task of a test on the loop."""
    return ScopeTask(loop_runner, open_scope(Scope.FUNCTION))


@pytest.fixture
def run_of_pytest():
    """A run of pytest, of which nobody closes the scopes but its end."""
    run = PytestRun(Config(), lambda _, __: None)
    yield run
    registry.end(run)


def position(depth, config=None):
    """Where a function of a module stands, on a loop that so many of the scopes around it share."""
    path, config = path_of_module("example"), config or Config()
    return Position(path, depth, None, config, [config] * len(path))


async def running_loop():
    return asyncio.get_running_loop()


async def running_task():
    return asyncio.current_task()


async def fail():
    raise ValueError("boom")


async def stubborn(started):
    started.set()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def start(coroutine_function):
    """Start a task of it, and return when it says that it runs."""
    started = asyncio.Event()
    task = asyncio.ensure_future(coroutine_function(started))
    await started.wait()
    return task
