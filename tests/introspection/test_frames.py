import asyncio
import sys
from pathlib import Path

import pytest

from asyncunit.introspection import frames as stacks
from asyncunit.introspection.frames import (
    Place,
    caller,
    coroutine_name,
    describe_task,
    innermost_place,
    is_ours,
    places_of_task,
    stack,
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
