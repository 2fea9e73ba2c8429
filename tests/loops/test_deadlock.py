"""What each task waits for, and for whom."""

import asyncio

import pytest

from asyncunit.loops.deadlock import describe_cycle, describe_waits, find_waits


async def waits_of(*coroutines):
    """What the coroutines wait for once each has come as far as it can, and the drawing; by lines."""
    tasks = [
        coroutine if isinstance(coroutine, asyncio.Task) else asyncio.create_task(coroutine, name=f"t{number}")
        for number, coroutine in enumerate(coroutines)
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    waits = find_waits(tasks)
    for task in tasks:
        task.cancel()
    described = [line.partition(" waits")[2].partition(", at ")[0] for line in describe_waits(waits)]
    drawn = describe_cycle(waits)
    await asyncio.gather(*tasks, return_exceptions=True)
    return described, drawn


async def inside(lock, event):
    async with lock:
        await event.wait()


@pytest.mark.parametrize("kind", [asyncio.Lock, asyncio.Semaphore, asyncio.Condition])
def test_a_lock_and_the_task_that_holds_it(kind):
    async def main():
        lock, event = kind(), asyncio.Event()
        return await waits_of(inside(lock, event), inside(lock, asyncio.Event()))

    described, drawn = asyncio.run(main())
    assert described == [" in Event.wait()", f" in async with {kind.__name__}, held by 't0'"]
    assert drawn == []


def test_a_lock_that_is_acquired_by_hand_has_no_holder_that_can_be_told():
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        return await waits_of(lock.acquire())

    assert asyncio.run(main()) == ([" in Lock.acquire()"], [])


def test_a_lock_that_a_task_only_knows_is_not_held_by_it():
    async def knows(known, other, event):
        async with other:
            await event.wait()
        return known

    async def main():
        lock, other, event = asyncio.Lock(), asyncio.Lock(), asyncio.Event()
        await lock.acquire()
        return await waits_of(knows(lock, other, event), inside(lock, asyncio.Event()))

    assert asyncio.run(main())[0][1] == " in async with Lock"


def test_a_cycle_is_drawn():
    async def nested(first, second):
        async with first:
            await asyncio.sleep(0)
            async with second:
                pass

    async def main():
        a, b, c = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        return await waits_of(nested(a, b), nested(b, c), nested(c, a), inside(a, asyncio.Event()))

    described, drawn = asyncio.run(main())
    assert described[3] == " in async with Lock, held by 't0'"
    assert drawn == [
        "These wait for each other, so none of them can go on:",
        "    't0' --- async with Lock, held by ---> 't1'",
        "    't1' --- async with Lock, held by ---> 't2'",
        "    't2' --- async with Lock, held by ---> 't0'",
    ]


def test_a_task_that_awaits_others():
    async def main():
        event = asyncio.Event()
        task = asyncio.create_task(event.wait(), name="t9")

        async def group():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(event.wait(), name="in the group")

        async def awaits():
            await task

        async def gathers():
            await asyncio.gather(task, event.wait())

        async def waits():
            await asyncio.wait([task])

        return await waits_of(awaits(), gathers(), waits(), group(), asyncio.wait_for(task, 60))

    described, _ = asyncio.run(main())
    assert described[0] == ", for 't9'"
    assert described[1].startswith(", for 't9', 'Task-") or described[1].endswith(", 't9'")
    assert described[2] == " in asyncio.wait(), for 't9'"
    assert described[3] == " in async with TaskGroup, for 'in the group'"
    assert described[4].endswith(", for 't9'")


def test_two_tasks_that_await_each_other():
    async def main():
        tasks = []

        async def awaits(number):
            # (A bare await of each other could not be cancelled: asyncio cancels what a task awaits, and so on.)
            await asyncio.wait([tasks[number]])

        tasks += [asyncio.create_task(awaits(1), name="t0"), asyncio.create_task(awaits(0), name="t1")]
        return await waits_of(*tasks)

    _, drawn = asyncio.run(main())
    assert drawn[1:] == ["    't0' --- asyncio.wait() ---> 't1'", "    't1' --- asyncio.wait() ---> 't0'"]


def test_waits_are_read_from_calls_as_the_user_has_written_them():
    async def main():
        queue, full = asyncio.Queue(), asyncio.Queue(1)
        full.put_nowait(1)
        barrier, future = asyncio.Barrier(2), asyncio.get_running_loop().create_future()

        async def bare():
            await future

        return await waits_of(queue.get(), full.put(2), full.join(), barrier.wait(), bare(), asyncio.Event().wait())

    assert asyncio.run(main())[0] == [
        " in Queue.get()",
        " in Queue.put()",
        " in Queue.join()",
        " in Barrier.wait()",
        "",
        " in Event.wait()",
    ]
