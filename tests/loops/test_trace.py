import asyncio
import json

from asyncunit.loops.schedules import SHOWN, Timeline, position_of
from tests.loops import races
from tests.loops.test_schedules import run, tasks


async def waits():
    await races.reply()
    await races.reply()


async def named():
    await asyncio.gather(
        asyncio.create_task(waits(), name="first"), asyncio.create_task(waits(), name="second"), waits()
    )


def test_the_last_switches_are_told_by_task_and_line():
    _, loop = run(named(), 4)
    lines = loop.turns.switches.lines()
    text = "\n".join(lines)
    assert len(lines) == SHOWN
    assert "first [" in text
    assert "waits() [" in text
    assert all(" -> " in line for line in lines)
    assert "races.py:" in text


def test_a_task_that_goes_on_says_where_it_stopped_before():
    _, loop = run(tasks("ab", 4, []), 4)
    lines = loop.turns.switches.lines()
    assert any("ends -> " in line for line in lines)
    assert any("stops at races.py:" in line for line in lines)


def test_asyncios_own_order_has_switches_too():
    _, loop = run(tasks("ab", 2, []), 0)
    assert loop.turns.switches.lines()


def test_a_task_stands_at_the_innermost_line_that_is_no_librarys():
    async def main():
        task = asyncio.create_task(asyncio.wait_for(held(), 60))
        lock = asyncio.Lock()
        waiting = asyncio.create_task(hold(lock))
        await asyncio.sleep(0)
        found = str(position_of(waiting)), str(position_of(task))
        for each in (task, waiting):
            each.cancel()
        await asyncio.wait([task, waiting])
        return found

    async def held():
        await asyncio.Event().wait()

    async def hold(lock):
        async with lock:
            await asyncio.Event().wait()

    first, second = asyncio.run(main())
    assert first.startswith("test_trace.py:")
    assert not second.startswith("schedules.py")


def test_a_task_of_a_librarys_stands_at_its_outermost_line():
    async def main():
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        found = str(position_of(task))
        task.cancel()
        return found

    assert asyncio.run(main()).startswith("tasks.py:")


def test_a_timeline_has_a_track_for_each_task_and_a_slice_for_each_step(tmp_path):
    timeline = Timeline()
    _, loop = run(tasks("ab", 3, []), 2, timeline=timeline)
    timeline.write(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == loop.turns.steps
    assert {event["tid"] for event in slices} == {event["tid"] for event in events if event["ph"] == "M"}
    assert all(event["dur"] >= 0 and event["args"]["step"] for event in slices)
