import asyncio
import contextvars

import pytest

from asyncunit import Scope
from asyncunit.config import Config
from asyncunit.open_scopes import OpenScope
from asyncunit.runner import LoopRunner
from asyncunit.scope_runner import ScopeRunner


def open_scope(scope=Scope.CLASS):
    opened = OpenScope(scope, "example", contextvars.copy_context())
    opened.config = Config()
    return opened


@pytest.fixture
def loops():
    """A loop, and what is needed to close it."""
    loops = LoopRunner(open_scope(), None)
    yield loops
    loops.close()


@pytest.fixture
def scope(loops):
    """The task of a class on the loop."""
    return ScopeRunner(loops, open_scope())


@pytest.fixture
def inner(loops):
    """The task of a test on the loop."""
    return ScopeRunner(loops, open_scope(Scope.FUNCTION))


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
