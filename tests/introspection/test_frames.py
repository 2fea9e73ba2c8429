import asyncio
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncunit.introspection import frames as stacks
from asyncunit.introspection.frames import (
    Place,
    caller,
    coroutine_name,
    debugger_is_attached,
    describe_task,
    innermost_place,
    is_installed,
    is_ours,
    places_of_task,
    stack,
    stands_in_debugger,
)


def call():
    return caller()


def test_the_caller_is_the_nearest_line_that_is_no_librarys():
    place = call()
    assert (place.filename, place.function) == (__file__, "call")
    assert str(place) == f"{__file__}:{place.line} in call"


async def inner(event):
    await event.wait()


async def outer(event):
    await inner(event)


def test_a_task_waits_at_a_line_of_each_coroutine_that_awaits():
    async def main():
        task = asyncio.ensure_future(outer(asyncio.Event()))
        await asyncio.sleep(0)
        places = places_of_task(task)
        task.cancel()
        return places, describe_task(task, Place("x.py", 3, "f"))

    places, described = asyncio.run(main())
    assert [place.function for place in places] == ["outer", "inner", "Event.wait"]
    assert "in inner" in innermost_place(places)
    assert described.startswith("task 'Task-")
    assert described.endswith("', running tests.introspection.test_frames.outer(), made at x.py:3 in f")


def test_what_is_not_known_is_said_to_be_so():
    assert innermost_place([]) == "an unknown line"
    assert innermost_place([Place("/own.py", 1, "f")]) == "/own.py:1 in f"
    assert innermost_place([Place(asyncio.__file__, 1, "f")]).endswith("1 in f")


@pytest.mark.parametrize("directory", ["site-packages", "dist-packages"])
def test_an_installed_project_is_not_the_standard_library_wherever_it_is(directory):
    library = Path(asyncio.__file__).parent.parent
    installed = Place(str(library / directory / "pool" / "core.py"), 7, "acquire")
    assert innermost_place([installed, Place(asyncio.__file__, 1, "f")]) == str(installed)


def test_a_coroutine_that_is_done_has_a_name_still():
    coroutine = outer(None)
    assert coroutine_name(coroutine) == "tests.introspection.test_frames.outer"
    coroutine.close()
    assert coroutine_name(coroutine) == "outer"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_an_eager_task_that_is_done_has_no_coroutine():
    async def main():
        return describe_task(asyncio.eager_task_factory(asyncio.get_running_loop(), asyncio.sleep(0, 1)))

    assert asyncio.run(main()).startswith("task 'Task-")


def test_a_stack_goes_from_the_inside_outwards_and_ours_are_told():
    frames = stack(sys._getframe())
    assert frames[0].f_code.co_name == "test_a_stack_goes_from_the_inside_outwards_and_ours_are_told"
    assert not is_ours(frames[0])
    assert "__unittest" in vars(stacks) or "_stacks__unittest" in vars(stacks)


# Debuggers.


@contextmanager
def traced_by(module):
    """Have this thread be traced by a function that is of that module, as long as the block lasts."""

    class Tracer:
        __module__ = module

        def __call__(self, frame, event, argument):
            return None

    before = sys.gettrace()
    sys.settrace(Tracer())
    try:
        yield
    finally:
        sys.settrace(before)


def run_in(module, function):
    """Call the function from one that is of that module."""
    names = {"__name__": module}
    exec("def interaction(function): return function()", names)
    return names["interaction"](function)


@pytest.mark.parametrize("module", ["bdb", "pydevd", "_pydevd_bundle.pydevd_trace_dispatch", "debugpy.server"])
def test_a_debugger_that_traces_the_thread_is_attached(module):
    with traced_by(module):
        assert debugger_is_attached()


def test_whatever_else_traces_a_thread_is_none():
    assert not debugger_is_attached()
    with traced_by("coverage.pytracer"):
        assert not debugger_is_attached()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in Python 3.12")
def test_one_that_has_registered_itself_is_attached():
    sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "debugger")
    try:
        assert debugger_is_attached()
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)


def test_a_thread_stands_in_a_debugger_that_has_called_it():
    def look():
        return stands_in_debugger(threading.get_ident())

    assert run_in("pdb", look)
    assert not run_in("pdbpp_like", look)
    assert not look()


def test_files_of_libraries_are_told_from_a_users():
    assert is_installed(asyncio.__file__)
    assert is_installed("/environment/lib/python3.11/site-packages/httpx/_client.py")
    assert not is_installed(__file__)
