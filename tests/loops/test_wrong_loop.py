import asyncio

import pytest

from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.wrong_loop import explain
from tests.conftest import open_scope
from tests.support import run_module

TWO = """
    box = []
    def future_with_callback():  # whose repr no other has
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(future_with_callback)
        return future
    async def bound_event():
        event = asyncio.Event()
        task = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        task.cancel()
        return event
    class First(asyncunit.ClassLoopTestCase):
        async def test_1(self):
            box.append({make})
    class Second(asyncunit.ClassLoopTestCase):
        async def test_2(self):
            {use}
"""


@pytest.mark.parametrize(
    ("make", "use"),
    [
        ("future_with_callback()", "await box[0]"),
        ("await bound_event()", "await box[0].wait()"),
        ("asyncio.get_running_loop()", "box[0].call_soon(print)"),
    ],
)
def test_an_error_of_mixed_up_loops_says_whose_they_are_and_what_to_write(make, use):
    error = run_module(TWO.format(make=make, use=use)).only_error()
    [note] = error.__notes__
    assert "This runs on the event loop of the scope 'class module_" in note
    assert ".First', which is closed." in note
    assert note.endswith('write in First and in Second:  loop_scope = "module"  or make it on this loop.')


SAME_SCOPE = "Both are loops of this scope: the other was closed, or has another loop_factory. Make it on this loop."


def test_of_two_loops_of_one_scope_the_closed_one_is_told_of():
    result = run_module("""
        box = []
        def callback_of_closed(future): ...  # whose repr no other has
        class Test(asyncunit.ClassLoopTestCase):
            async def test_1(self):
                box.append(asyncio.get_running_loop().create_future())
                box[0].add_done_callback(callback_of_closed)
            def test_2(self): asyncio.get_event_loop().close()
            async def test_3(self): await box[0]
    """)
    assert [name for name, _ in result.raised] == ["test_2", "test_3"]
    assert result.raised[1][1].__notes__[0].endswith(SAME_SCOPE)


def test_of_two_loops_of_one_scope_the_factory_is_told_of():
    error = run_module("""
        box = []
        def callback_of_factory(future): ...
        class First(asyncunit.SessionLoopTestCase):
            async def test_1(self):
                box.append(asyncio.get_running_loop().create_future())
                box[0].add_done_callback(callback_of_factory)
        class Second(asyncunit.SessionLoopTestCase):
            loop_factory = staticmethod(lambda: asyncio.SelectorEventLoop())
            async def test_2(self): await box[0]
    """).only_error()
    assert error.__notes__[0].endswith(SAME_SCOPE)


def test_lazy_objects_are_not_woken(loop_runner):
    woken = []

    class Lazy:
        @property
        def __class__(self):
            woken.append(self)
            return Lazy

    def fail_in_method(self, text):
        raise RuntimeError(text)

    for text in ("Event loop is closed", "attached to a different loop"):
        try:
            fail_in_method(Lazy(), text)
        except RuntimeError as error:
            explain(error, loop_runner.loop)
    assert woken == []


def test_running_inside_the_loop_is_answered_with_await():
    error = run_module("""
        class Test(asyncunit.AsyncTestCase):
            async def test_x(self):
                coroutine = asyncio.sleep(0)
                try:
                    asyncio.run(coroutine)
                finally:
                    coroutine.close()
    """).only_error()
    assert error.__notes__[0].endswith(".Test.test_x)'. Await the coroutine instead of running it.")


def test_the_members_of_a_group_are_explained(loop_runner):
    closed = LoopRunner(open_scope(), None)
    closed.close()
    try:
        closed.loop.call_soon(print)
    except RuntimeError as error:
        group = ExceptionGroup("several", [error])
    explain(group, loop_runner.loop)
    explain(group, loop_runner.loop)
    assert len(group.exceptions[0].__notes__) == 1


def test_a_loop_of_the_users_own_is_said_to_be_that(loop_runner):
    own = asyncio.new_event_loop()
    own.close()
    try:
        own.call_soon(print)
    except RuntimeError as error:
        explain(error, loop_runner.loop)
        [note] = error.__notes__
    assert "a loop that asyncunit has not made" in note
    assert note.endswith("Make it on this loop: in the test, in asyncSetUp, or in a fixture.")


def test_other_errors_are_left_alone(loop_runner):
    error = RuntimeError("boom")
    explain(error, loop_runner.loop)
    explain(ValueError("Event loop is closed"), loop_runner.loop)
    assert not hasattr(error, "__notes__")


IN_A_THREAD = """
    async def used(thing):
        await thing
    class Test(asyncunit.AsyncTestCase):
        async def asyncSetUp(self):
            self.future = asyncio.get_running_loop().create_future()
            self.event = asyncio.Event()
            self.waiter = asyncio.create_task(self.event.wait())
            self.addCleanup(self.waiter.cancel)
            await asyncio.sleep(0)
        async def in_a_loop_that_is_kept(self):
            loop = asyncio.new_event_loop()
            task = loop.create_task(used(self.future), name="portal")
            await asyncio.to_thread(loop.run_until_complete, asyncio.wait([task]))
            loop.close()
            raise task.exception()
        {test}
"""


@pytest.mark.parametrize(
    "test",
    [
        "async def test_x(self): await asyncio.to_thread(asyncio.run, used(self.future))",
        "async def test_x(self): await asyncio.to_thread(asyncio.run, used(self.waiter))",
        "async def test_x(self): await asyncio.to_thread(asyncio.run, self.event.wait())",
        "async def test_x(self): await self.in_a_loop_that_is_kept()",
        "def test_x(self): asyncio.run(used(self.future))",
    ],
)
def test_an_error_that_came_up_in_another_thread_or_runner_is_said_to_be_there(test):
    error = run_module(IN_A_THREAD.format(test=test)).only_error()
    [note] = error.__notes__
    assert note.startswith(("This ran on a loop that asyncunit has not made", "This ran on another loop"))
    assert "what it awaits seems to belong to the event loop of the scope 'test_x (" in note
