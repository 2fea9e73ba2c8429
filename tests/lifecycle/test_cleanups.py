import asyncio
import contextlib

import pytest

from asyncunit import CutShortError, DefinitionError
from asyncunit.lifecycle.cleanups import AsyncCleanup, ContextExit, call_hook, call_without_task, enter_context, leave
from tests.conftest import open_scope


def test_a_cleanup_runs_once(scope):
    calls = []

    async def note():
        calls.append(asyncio.current_task())

    cleanup = AsyncCleanup(scope, note)
    cleanup()
    cleanup()
    assert calls == [scope.task]


@pytest.mark.parametrize("wrong", [lambda: None, lambda: (yield)])
def test_a_hook_that_cannot_be_awaited_is_an_error(scope, wrong):
    with pytest.raises(DefinitionError, match=r"cannot be awaited, so nothing of it may have run. Write 'async def"):
        call_hook(scope, wrong)


def test_a_cancellation_without_a_task_is_raised_as_an_error():
    cause, opened = asyncio.CancelledError(), open_scope()

    def cancel():
        raise cause

    assert call_without_task(opened, int, "3") == 3
    with pytest.raises(CutShortError, match="the scope 'class example' was cancelled before it was done") as caught:
        call_without_task(opened, cancel)
    assert caught.value.__cause__ is cause


def test_what_is_no_async_context_manager_is_a_type_error_as_unittest_has_it(scope):
    with pytest.raises(TypeError, match=r"'builtins\.int' object does not support the asynchronous context manager pr"):
        scope.run(enter_context(3, scope, print))
    with pytest.raises(TypeError, match=r"Did you mean to use enterContext\(\)\?"):
        scope.run(enter_context(contextlib.ExitStack(), scope, print))


def test_a_context_is_told_of_the_cancellation_and_may_replace_it(scope):
    told, exits = [], []

    class Manager:
        def __init__(self, outcome):
            self.outcome = outcome

        async def __aenter__(self):
            return self

        async def __aexit__(self, kind, error, traceback):
            told.append(error)
            if isinstance(self.outcome, BaseException):
                raise self.outcome
            return self.outcome

    replacement = ValueError("replacement")
    for outcome in (False, True, replacement, None):
        scope.run(enter_context(Manager(outcome), scope, exits.append))
    scope.cancellation = cause = asyncio.CancelledError()
    assert all(isinstance(exit_, ContextExit) for exit_ in exits)
    for exit_ in reversed(exits):
        exit_()
    assert told == [cause, cause, replacement, None]
    assert scope.cancellation is None


def test_leave_returns_whatever_a_tear_down_raises_but_ctrl_c():
    def fail(error):
        raise error

    exit_ = SystemExit()
    assert leave(lambda: fail(exit_)) == [exit_]
    assert leave(lambda: None) == []
    with pytest.raises(KeyboardInterrupt):
        leave(lambda: fail(KeyboardInterrupt()))
