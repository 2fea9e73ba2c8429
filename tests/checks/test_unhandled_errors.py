import asyncio
import contextvars
import gc
import logging
import weakref

import pytest

import asyncunit
from asyncunit import AsyncTestCase
from asyncunit.checks.unhandled_errors import Observer, observer_of
from asyncunit.introspection.tracebacks import is_reported, mark_as_reported
from asyncunit.scopes.open_scope import owner_of
from tests.conftest import fail, open_scope
from tests.support import Result, python, suite_of, write


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def observer(loop):
    return Observer(loop)


def seen(observer):
    return [item.finding.text for item in observer.unhandled]


def run(loop, coroutine, scope=None):
    task = asyncio.Task(coroutine, loop=loop, context=None if scope is None else scope.context)
    return loop.run_until_complete(task)


async def crash():
    asyncio.create_task(fail())
    await asyncio.sleep(0)


def test_what_reaches_the_exception_handler_is_kept_with_its_owner(loop, observer):
    owner = open_scope()
    run(loop, crash(), owner)
    [item] = observer.unhandled
    assert item.owner is owner
    assert repr(item.finding.error) == "ValueError('boom')"
    assert item.finding.text.startswith("Task exception was never retrieved: task '")
    assert item.finding.place.function == "crash"


def test_an_error_in_a_callback_has_the_owner_of_the_callback(loop, observer):
    owner = open_scope()
    loop.call_soon(lambda: 1 / 0, context=owner.context)
    run(loop, asyncio.sleep(0))
    [item] = observer.unhandled
    assert (item.owner, type(item.finding.error)) == (owner, ZeroDivisionError)


def test_a_handler_and_a_task_factory_that_a_loop_comes_with_are_left(loop):
    def handler(loop, context): ...

    def factory(loop, coroutine, **kwargs):
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    loop.set_exception_handler(handler)
    loop.set_task_factory(factory)
    Observer(loop)
    assert (loop.get_exception_handler(), loop.get_task_factory()) == (handler, factory)


def test_what_a_test_captures_of_the_log_is_its_own_matter(loop, observer):
    import unittest

    with unittest.TestCase().assertLogs("asyncio") as logs:
        run(loop, crash())
    assert len(logs.output) == 1
    assert seen(observer) == []


def test_whoever_listens_to_the_log_hears_of_it_as_well(loop, observer, caplog):
    with caplog.at_level(logging.ERROR, "asyncio"):
        run(loop, crash())
    assert len(caplog.records) == len(observer.unhandled) == 1


def test_an_error_that_is_reported_is_not_found_again(loop, observer):
    error = ValueError("boom")
    mark_as_reported(error)
    assert is_reported(error)
    loop.call_exception_handler({"message": "again", "exception": error})
    assert seen(observer) == []


def test_after_the_loop_has_closed_asyncio_says_it(loop, observer, caplog):
    observer.is_closed = True
    loop.call_exception_handler({"message": "late"})
    assert (seen(observer), caplog.messages) == ([], ["late"])


def test_a_scope_takes_what_is_its_own_and_what_is_nobodys(loop, observer):
    own, other = open_scope(), open_scope()
    for context in (own.context, other.context, contextvars.Context()):
        context.run(loop.call_exception_handler, {"message": str(context.run(lambda: 1))})
    assert [item.owner for item in observer.take(own)] == [own, None]
    assert [item.owner for item in observer.take_all()] == [other]


def test_expected_errors_are_handed_over_and_others_are_left(loop, observer):
    caught = []
    for _ in observer.expecting(loop, (ValueError,), caught, None):
        run(loop, crash())
        loop.call_exception_handler({"message": "another"})
    assert [repr(error) for error in caught] == ["ValueError('boom')"]
    assert seen(observer) == ["another"]


def test_expected_errors_of_a_task_that_is_held_are_found(loop, observer):
    owner, held, caught = open_scope(), [], []

    async def test():
        for _ in observer.expecting(loop, (ValueError,), caught, None):
            held.append(asyncio.create_task(fail()))
            await asyncio.sleep(0)

    run(loop, test(), owner)
    assert [repr(error) for error in caught] == ["ValueError('boom')"]
    assert observer.unretrieved(loop, owner) == []


def test_a_task_with_a_context_of_its_own_is_apart(loop, observer):
    owner = open_scope()

    async def test():
        own = asyncio.create_task(asyncio.sleep(0))
        apart = asyncio.get_running_loop().create_task(asyncio.sleep(0), context=contextvars.copy_context())
        await asyncio.gather(own, apart)
        return owner_of(own), owner_of(apart), list(owner.made)

    own, apart, made = run(loop, test(), owner)
    assert (own, apart, len(made)) == (owner, None, 1)


def test_the_private_flag_by_which_an_unretrieved_error_is_told_is_there(loop, observer):
    async def held():
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        before = task._log_traceback
        task.exception()
        return before, task._log_traceback

    assert run(loop, held()) == (True, False)


def test_cancelling_a_task_that_has_failed_retrieves_nothing(loop, observer):
    async def cancel():
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        return task.cancel(), repr(task)[:15], task

    was_cancelled, shown, task = run(loop, cancel())
    assert (was_cancelled, shown, seen(observer)) == (False, "<Task finished ", [])
    del task
    gc.collect()
    [text] = seen(observer)
    assert text.startswith("Task exception was never retrieved")


def test_a_task_that_is_pending_is_cancelled_as_ever(loop, observer):
    async def cancel():
        task = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        was_cancelled = task.cancel("the reason")
        try:
            await task
        except asyncio.CancelledError as error:
            return was_cancelled, error.args

    assert run(loop, cancel()) == (True, ("the reason",))
    assert seen(observer) == []


def test_what_a_test_sets_is_put_back(loop, observer):
    before = (loop.get_exception_handler(), loop.get_task_factory(), loop.get_debug(), loop.slow_callback_duration)
    observer.before_test(loop)
    loop.set_exception_handler(None)
    loop.set_task_factory(None)
    loop.set_debug(True)
    loop.slow_callback_duration = 5
    observer.put_back(loop)
    after = (loop.get_exception_handler(), loop.get_task_factory(), loop.get_debug(), loop.slow_callback_duration)
    assert after == before


def test_what_came_up_while_no_test_ran_is_put_aside(loop, observer):
    loop.call_exception_handler({"message": "early"})
    observer.before_test(loop)
    assert seen(observer) == []
    assert [item.finding.text for item in observer.aside] == ["early"]
    gc.collect()


FUNCTIONS = """
import asyncio
import pytest
import asyncunit
from asyncunit import load_tests

def fail():
    raise ValueError("meant")

@asyncunit.fixture
async def failing():
    asyncio.get_running_loop().call_soon(fail)

async def test_function():
    with asyncunit.expectUnhandledErrors(ValueError) as caught:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
    assert [str(error) for error in caught] == ["meant"]

async def test_none():
    with pytest.raises(AssertionError, match="ValueError was expected to reach"), \\
            asyncunit.expectUnhandledErrors(ValueError):
        pass

async def test_a_wrong_type():
    with pytest.raises(TypeError, match="expected an exception type"), asyncunit.expectUnhandledErrors("x"):
        pass
"""

CAPLOG = """
import asyncio
import pytest
import asyncunit

def fail():
    raise ValueError("logged")

@pytest.mark.asyncunit
async def test_taken(caplog):
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    assert "logged" in caplog.text

class Test(asyncunit.AsyncTestCase):
    @pytest.fixture(autouse=True)
    def log(self, caplog):
        self.caplog = caplog

    async def test_taken(self):
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        self.assertIn("logged", self.caplog.text)

@pytest.mark.asyncunit
async def test_not_taken():
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
"""


def test_a_function_expects_errors_as_a_method_does(tmp_path):
    write(tmp_path, test_functions=FUNCTIONS)
    done = python("-m", "unittest", "-v", "test_functions", cwd=tmp_path)
    assert "Ran 3 tests" in done.stderr
    assert "\nOK" in done.stderr, done.stderr
    options = ["-p", "asyncunit.pytest_plugin", "--asyncunit-mode=auto", "-q"]
    done = python("-m", "pytest", *options, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "3 passed" in done.stdout, done.stdout


def test_errors_are_expected_where_a_test_runs():
    text = "called where no test of asyncunit's runs"
    with pytest.raises(asyncunit.LoopScopeError, match=text), asyncunit.expectUnhandledErrors(ValueError):
        pass


def test_a_test_that_uses_caplog_takes_what_asyncio_logs(tmp_path):
    write(tmp_path, test_log=CAPLOG)
    options = ["-p", "asyncunit.pytest_plugin", "-q"]
    done = python("-m", "pytest", *options, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "2 passed" in done.stdout, done.stdout
    assert "FAILED test_log.py::test_not_taken" in done.stdout
    assert "with asyncunit.expectUnhandledErrors(ValueError):" in done.stdout


def test_a_loop_of_a_test_that_has_failed_is_let_go():
    loops = weakref.WeakSet()

    class Keeping(Result):
        """Keeps the errors, with their tracebacks, as some results do."""

        def __init__(self):
            super().__init__()
            self.kept = []

        def addError(self, test, err):
            super().addError(test, err)
            self.kept.append(err)

    class Test(AsyncTestCase):
        async def test_x(self):
            loops.add(asyncio.get_running_loop())
            raise ValueError("boom")

    result = Keeping()
    suite_of(Test).run(result)
    assert len(result.kept) == 1
    del result
    gc.collect()
    assert not loops


def test_what_looks_on_at_a_loop_is_let_go_with_it_without_a_search_for_garbage():
    observers = []

    class Test(AsyncTestCase):
        async def test(self):
            observers.append(weakref.ref(observer_of(asyncio.get_running_loop())))

    result, suite = Result(), suite_of(Test)
    gc.disable()
    try:
        suite.run(result)
        assert result.wasSuccessful()
        assert observers[0]() is None
    finally:
        gc.enable()
