import asyncio
import contextvars
import gc
import hashlib
import sys
import threading
import weakref
from itertools import pairwise

import pytest

from asyncunit.loops.schedules import RandomWalk, order_of, scheduled
from asyncunit.loops.virtual_clock import virtual_clock_factory
from tests.loops import races
from tests.loops.idle import IdleError, IdleLoop

# The first schedule that shows each race: the same on each Python.
FIRST = {
    "connected_twice": 5,
    "lost_update": 22,
    "stampede": 23,
    "swapped_replies": 1,
    "lost_connection": 37,
    "closed_twice": 5,
    "woken_for_nothing": 12,
    "part_of_a_transfer": 12,
    "forgotten_wakeup": 52,
    "torn_read": 27,
    "stale_answer": 21,
    "used_before_it_started": None,
}

ScheduledLoop = scheduled(IdleLoop)

# A race may leave a task that has not begun: Python says so whenever it collects that, until the module is done.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(autouse=True, scope="module")
def collect_what_the_races_leave():
    yield
    gc.collect()


def run(coroutine, schedule, loop_class=ScheduledLoop, **settings):
    """Run a coroutine under a schedule; return its result and the loop, which is closed."""
    loop = loop_class(schedule=schedule, **settings)
    try:
        return loop.run_until_complete(coroutine), loop
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def fails(race, schedule):
    late_timers = 0.5 if race is races.stale_answer else 0.0
    loop = ScheduledLoop(schedule=schedule, late_timers=late_timers)
    try:
        loop.run_until_complete(race())
    except (AssertionError, IndexError, IdleError):
        return True
    finally:
        loop.set_exception_handler(lambda *_: None)  # for the tasks that the failure has left
        loop.close()
    return False


@pytest.mark.parametrize("race", races.RACES, ids=lambda race: race.__name__)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_race_is_found_by_the_same_schedule_each_time_and_not_by_asyncios_own_order(race):
    first = FIRST[race.__name__]
    assert not fails(race, 0)
    assert next((number for number in range(1, 601 if first else 100) if fails(race, number)), None) == first


async def tasks(names, rounds, log):
    async def one(name):
        for _ in range(rounds):
            log.append(name)
            await races.reply()

    await asyncio.gather(*(one(name) for name in names))


def trace(schedule, names="abcd", rounds=6):
    log = []
    run(tasks(names, rounds, log), schedule)
    return "".join(log)


def test_schedule_0_is_asyncios_own_order():
    log = []
    asyncio.run(tasks("abcd", 6, log))
    assert trace(0) == "".join(log) == "abcd" * 6


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (1, "dbbbbbbccccccaaaaaaddddd"),
        (2, "baacabacadcdcadddcdcbbbb"),
        (3, "aaaaaabbbbbbddddddcccccc"),
        (4, "addabcbdadcbdcbcaabdbcac"),
    ],
)
def test_a_number_is_an_order_the_same_on_each_python(schedule, expected):
    assert trace(schedule) == expected


def test_different_numbers_are_different_orders():
    assert len({trace(number) for number in range(100)}) > 90


def test_even_numbers_walk_at_random_and_odd_ones_follow_priorities():
    assert order_of(0) is None
    assert type(order_of(2)) is RandomWalk
    assert type(order_of(3)) is not RandomWalk


@pytest.mark.parametrize("schedule", range(1, 21))
def test_callbacks_keep_their_order(schedule):
    async def main():
        loop = asyncio.get_running_loop()
        others = [asyncio.create_task(races.replies(3)) for _ in range(3)]
        for number in range(20):
            loop.call_soon(log.append, number)
            await races.reply()
        await asyncio.wait(others)

    log = []
    run(main(), schedule)
    assert log == list(range(20))


@pytest.mark.parametrize("schedule", range(1, 41))
def test_a_step_is_not_taken_before_callbacks_that_were_queued_before_it(schedule):
    async def main():
        loop = asyncio.get_running_loop()
        noise = [asyncio.create_task(races.replies(5)) for _ in range(3)]
        for _ in range(5):
            future = loop.create_future()
            future.add_done_callback(lambda _: log.append("callback"))
            loop.call_soon(future.set_result, None)
            await future
            log.append("step")
        await asyncio.wait(noise)

    log = []
    run(main(), schedule)
    assert log == ["callback", "step"] * 5


@pytest.mark.parametrize("schedule", range(1, 41))
def test_a_connection_is_made_as_asyncio_makes_it(schedule):
    """sock_connect() has a callback that must run before the task goes on."""

    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async def ask(address, number):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"%d\n" % number)
        answer = await reader.read()
        writer.close()
        return int(answer)

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        answers = await asyncio.gather(*(ask(server.sockets[0].getsockname(), number) for number in range(4)))
        server.close()
        await asyncio.sleep(0.01)  # by the real clock; meanwhile the connections end
        return answers

    answers, loop = run(main(), schedule, scheduled(asyncio.SelectorEventLoop))
    assert answers == [0, 1, 2, 3]
    assert list(loop.outside) == ["timers of the real clock"]


@pytest.mark.parametrize("schedule", range(1, 41))
def test_after_a_bare_yield_all_that_was_ready_has_had_its_turn(schedule):
    async def main():
        begun = []

        async def begin(name):
            begun.append(name)
            await races.replies(3)

        others = [asyncio.create_task(begin(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert sorted(begun) == ["a", "b", "c"]
        await asyncio.wait(others)

    run(main(), schedule)


@pytest.mark.parametrize("schedule", range(41))
def test_before_a_bare_yield_what_the_step_has_made_ready_keeps_its_order(schedule):
    """Tasks that it has created, and tasks that it has woken, whatever callbacks come in between."""

    async def main():
        loop = asyncio.get_running_loop()
        noise = [asyncio.create_task(races.replies(9)) for _ in range(3)]
        await races.replies(2)
        log, event = [], asyncio.Event()

        async def one(name):
            log.append(name)
            await event.wait()
            log.append(name.upper())
            await races.replies(2)

        others = [asyncio.create_task(one("a")), asyncio.create_task(one("b"))]
        loop.call_soon(int)
        others.append(asyncio.create_task(one("c")))
        await asyncio.sleep(0)
        assert log == ["a", "b", "c"]
        others.append(asyncio.create_task(one("d")))
        event.set()
        await asyncio.sleep(0)
        assert log[3:] == ["d", "D", "A", "B", "C"]
        await asyncio.wait(noise + others)

    run(main(), schedule)


def beginnings(wait):
    """In which orders three tasks of one step begin, and a fourth one of another step goes on, where so is waited."""

    async def main():
        log = []

        async def begin(name):
            log.append(name)
            await races.reply()

        async def go_on():
            for _ in range(6):
                await races.reply()
                log.append(".")

        other = asyncio.create_task(go_on())
        await races.reply()
        others = [asyncio.create_task(begin(name)) for name in "abc"]
        await wait()
        await asyncio.wait([other, *others])
        return "".join(log)

    return [run(main(), schedule)[0] for schedule in range(1, 101)]


def test_without_a_bare_yield_tasks_of_one_step_begin_in_any_order():
    found = {log.replace(".", "") for log in beginnings(races.reply)}
    assert found == {"abc", "acb", "bac", "bca", "cab", "cba"}


def test_other_tasks_go_on_between_those_that_keep_their_order():
    found = {log.strip(".") for log in beginnings(lambda: asyncio.sleep(0))}
    assert {log.replace(".", "") for log in found} == {"abc"}
    assert {"abc", "a.bc", "ab.c", "a.b.c", "a...bc"} <= found


@pytest.mark.parametrize("schedule", range(41))
def test_after_so_many_bare_yields_all_has_run_that_follows_in_so_many_turns(schedule):
    """Each task of a chain is woken by a callback of the one before it."""

    async def main():
        loop = asyncio.get_running_loop()
        noise = [asyncio.create_task(races.replies(20)) for _ in range(3)]
        await races.replies(2)
        woken = []

        async def link(before, future):
            if before is not None:
                await before
            woken.append(None)
            loop.call_soon(future.set_result, None)

        futures = [None, *(loop.create_future() for _ in range(5))]
        links = [asyncio.create_task(link(*args)) for args in pairwise(futures)]
        for number in range(5):
            await asyncio.sleep(0)
            assert len(woken) > number // 2  # a callback and a step for each link
        await asyncio.wait(noise + links)

    run(main(), schedule)


@pytest.mark.parametrize("schedule", range(41))
def test_after_so_many_bare_yields_a_task_that_yields_too_has_gone_on_as_often(schedule):
    async def main():
        noise = [asyncio.create_task(races.replies(30)) for _ in range(3)]
        steps = []

        async def step():
            while len(steps) < 100:
                steps.append(None)
                await asyncio.sleep(0)

        other = asyncio.create_task(step())
        for wait in range(5):
            await races.replies(wait)
            before = len(steps)
            for number in range(1, 6):
                await asyncio.sleep(0)
                assert len(steps) - before >= number
        await asyncio.wait([*noise, other])

    run(main(), schedule)


def test_tasks_that_do_nothing_but_yield_keep_the_order_in_which_they_began():
    async def step(name, log):
        for _ in range(3):
            log.append(name)
            await asyncio.sleep(0)

    async def main():
        log = []
        await asyncio.gather(*(step(name, log) for name in "abc"))
        return "".join(log)

    orders = [run(main(), schedule)[0] for schedule in range(1, 41)]
    assert all(order == 3 * order[:3] for order in orders)
    assert len(set(orders)) == 6


@pytest.mark.parametrize("schedule", range(1, 41))
def test_nobody_waits_for_ever(schedule):
    """Two tasks that poll do not keep a third one from going on."""

    async def main():
        is_done = []

        async def poll():
            while not is_done:
                await races.reply()

        pollers = [asyncio.create_task(poll()) for _ in range(2)]
        await races.replies(3)
        is_done.append(True)
        await asyncio.wait(pollers)

    _, loop = run(main(), schedule)
    assert loop.turns.steps < 1500


def test_timers_are_late_by_up_to_a_part_of_their_delay_and_never_early():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(10)
        return loop.time()

    assert run(main(), 3)[0] == 10
    times = [run(main(), number, late_timers=0.5)[0] for number in range(1, 31)]
    assert all(10 <= time <= 15 for time in times)
    assert len(set(times)) == 30


def test_late_timers_do_not_change_which_task_is_next():
    def order(late_timers):
        log = []
        run(tasks("abcd", 6, log), 6, late_timers=late_timers)
        return log

    assert order(0.0) == order(0.9)


def test_a_step_runs_in_the_context_of_its_task():
    variable = contextvars.ContextVar("variable", default="outer")

    async def one(name):
        variable.set(name)
        for _ in range(5):
            await races.reply()
            assert variable.get() == name

    async def main():
        await asyncio.gather(*(one(name) for name in "abc"))
        assert variable.get() == "outer"

    for schedule in range(1, 11):
        run(main(), schedule)


def test_what_ends_the_process_is_raised_out_of_the_loop_and_the_other_tasks_go_on():
    loop = ScheduledLoop(schedule=2)

    async def leave():
        raise SystemExit(3)

    async def other():
        await races.replies(3)
        return "done"

    task, leaving = loop.create_task(other()), loop.create_task(leave())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == "done"
    assert isinstance(leaving.exception(), SystemExit)
    loop.close()


def test_a_task_is_let_go_of_when_it_is_done():
    async def main():
        task = asyncio.create_task(races.replies(2))
        await task
        return weakref.ref(task)

    loop = ScheduledLoop(schedule=2)
    gone = loop.run_until_complete(main())
    assert gone() is None
    loop.close()


def test_another_thread_is_outside():
    async def main():
        await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)
        await asyncio.get_running_loop().shutdown_default_executor()

    _, loop = run(main(), 2, scheduled(asyncio.SelectorEventLoop))
    assert list(loop.outside) == ["another thread"]


def test_another_process_is_outside():
    async def main():
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()

    _, loop = run(main(), 2, scheduled(asyncio.SelectorEventLoop))
    assert "another process" in loop.outside


def test_the_class_of_a_loop_is_derived_from_once():
    assert scheduled(IdleLoop) is ScheduledLoop
    assert issubclass(ScheduledLoop, IdleLoop)


def test_uvloop_follows_schedules():
    uvloop = pytest.importorskip("uvloop")
    loop_class = scheduled(uvloop.Loop)

    def order(schedule):
        log = []
        run(tasks("abcd", 6, log), schedule, loop_class)
        return "".join(log)

    async def sleep():
        loop = asyncio.get_running_loop()
        began = loop.time()
        fired = loop.create_future()
        loop.call_at(began + 0.01, fired.set_result, None)
        await fired
        await asyncio.sleep(0.01)
        return loop.time() - began

    assert [order(number) for number in range(4)] == [trace(number) for number in range(4)]
    assert run(sleep(), 3, loop_class, late_timers=0.5)[0] >= 0.019


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
def test_the_first_part_of_an_eager_task_is_not_moved():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        log = []

        async def one(name):
            log.append(name)
            await races.reply()
            log.append(name.upper())

        made = [asyncio.create_task(one(name)) for name in "abc"]
        begun = "".join(log)
        await asyncio.wait(made)
        return begun, "".join(log)

    found = {run(main(), number)[0] for number in range(1, 11)}
    assert {begun for begun, _ in found} == {"abc"}
    assert len(found) > 1


async def clients_and_servers(log):
    """Clients with time limits that try again, over real sockets, and workers with a queue and a lock."""
    loop = asyncio.get_running_loop()
    requests = 0

    async def serve(reader, writer):
        nonlocal requests
        while line := await reader.readline():
            requests += 1
            await asyncio.sleep(requests % 7)
            writer.write(line)
        writer.close()

    async def client(number):
        reader, writer = await asyncio.open_connection(*address)
        for request in range(3):
            try:
                async with asyncio.timeout(4):
                    writer.write(b"%d %d\n" % (number, request))
                    await reader.readline()
            except TimeoutError:
                log.append(("late", number, request, loop.time()))
                writer.close()
                await asyncio.sleep(1)
                reader, writer = await asyncio.open_connection(*address)
            await queue.put((number, request))
        writer.close()

    async def work(name):
        while True:
            item = await queue.get()
            async with lock:
                await asyncio.sleep(0.01)
                log.append((name, item, loop.time()))
            queue.task_done()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    queue, lock = asyncio.Queue(3), asyncio.Lock()
    workers = [asyncio.create_task(work(name)) for name in "xyz"]
    await asyncio.gather(*(client(number) for number in range(6)))
    await queue.join()
    for worker in workers:
        worker.cancel()
    server.close()
    await asyncio.sleep(10)


def traced(schedule, loop_class):
    log = []
    _, loop = run(clients_and_servers(log), schedule, loop_class, late_timers=0.1)
    assert not loop.outside
    return hashlib.sha1(repr((log, loop.turns.steps)).encode()).hexdigest()[:12]


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual clock is for Linux")
@pytest.mark.parametrize(("schedule", "trace"), [(5, "6a6a259862e1"), (6, "b2363372ab90")])
def test_one_number_is_one_trace_over_real_sockets_with_a_virtual_clock(schedule, trace):
    loop_class = scheduled(virtual_clock_factory(None))
    assert {traced(schedule, loop_class) for _ in range(10)} == {trace}


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual clock is for Linux")
def test_different_numbers_are_different_traces():
    loop_class = scheduled(virtual_clock_factory(None))
    assert len({traced(number, loop_class) for number in range(1, 13)}) == 12
