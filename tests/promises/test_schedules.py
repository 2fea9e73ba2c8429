"""Schedules, through the real runners."""

import json
import re
import sys

import pytest

from tests.support import python, write

RACE = """
import asyncio
import unittest
import asyncunit
from asyncunit import load_tests

async def reply():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future

class Client:
    connection, opened = None, 0

    async def ask(self):
        if self.connection is None:
            await reply()
            self.opened += 1
            self.connection = "connection"
        await reply()

async def ask_twice(client):
    async def later():
        for _ in range(3):
            await reply()
        await client.ask()
    await asyncio.gather(client.ask(), later())

def note(text):
    with open("events.txt", "a") as file:
        file.write(text + "\\n")
"""

METHODS = (
    RACE
    + """
class Wide:
    @asyncunit.fixture(scope="class")
    def wide(cls):
        note("wide up")
        yield
        note("wide down")

    @asyncunit.fixture
    async def client(self):
        note("client up")
        yield Client()
        note("client down")

@asyncunit.settings(schedules=30)
class TestRace(Wide, asyncunit.AsyncTestCase):
    async def asyncSetUp(self):
        note("set up")
        self.assertFalse(hasattr(self, "left"))
        self.left = True
        self.addAsyncCleanup(self.clean_up)

    async def clean_up(self):
        note("cleanup")

    async def test_fails(self):
        await ask_twice(self.client)
        self.assertEqual(self.client.opened, 1)

    async def test_passes(self):
        await reply()

    @asyncunit.settings(schedules=1)
    async def test_runs_once(self):
        note("once")

    @unittest.expectedFailure
    async def test_that_is_expected_to_fail(self):
        self.fail()

    async def test_that_skips_itself(self):
        self.skipTest("today")
"""
)

FUNCTIONS = (
    RACE
    + """
import pytest

@pytest.fixture(scope="module")
def wide():
    note("wide up")
    yield
    note("wide down")

@asyncunit.fixture
async def client(wide):
    note("client up")
    yield Client()
    note("client down")

@pytest.mark.asyncunit(schedules=30)
async def test_fails(client):
    await ask_twice(client)
    assert client.opened == 1

@pytest.mark.asyncunit(schedules=30)
async def test_passes(client):
    await reply()

@pytest.mark.asyncunit(schedules=30)
@pytest.mark.xfail(strict=True)
async def test_that_is_expected_to_fail(client):
    assert False
"""
)

RUNNERS = {
    "unittest": ("-m", "unittest", "-v"),
    "asyncunit": ("-m", "asyncunit", "-v"),
    "pytest": ("-m", "pytest", "-v", "-p", "asyncunit", "-p", "no:cacheprovider"),
}


def run(runner, directory, *arguments, **environ):
    done = python(*RUNNERS[runner], *arguments, cwd=directory, timeout=120, **environ)
    return done.returncode, done.stdout + done.stderr


def number_in(output):
    found = re.search(r"This is schedule (\d+)\.", output)
    return None if found is None else int(found[1])


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_test_case_is_run_anew_for_each_schedule_with_one_verdict(runner, tmp_path):
    write(tmp_path, test_race=METHODS)
    name = "test_race.py" if runner == "pytest" else "test_race"
    status, output = run(runner, tmp_path, name)
    number = number_in(output)
    assert status == 1, output
    assert number is not None, output
    events = (tmp_path / "events.txt").read_text().splitlines()
    assert events.count("wide up") == events.count("wide down") == 1
    # test_fails() up to its number, test_passes() under all, once each of the others.
    runs = (number + 1) + 30 + 3
    assert [events.count(each) for each in ("client up", "client down", "set up", "cleanup")] == [runs] * 4
    assert events.count("once") == 1
    assert f"and under schedules 1 to {number - 1}." in output
    assert "The last switches before it failed:" in output
    assert re.search(r"step \d+: ask\(\) \[\d+\] (stops at test_race.py:\d+|ends) -> ", output)
    if runner == "pytest":
        assert "1 failed, 2 passed, 1 skipped, 1 xfailed" in output
    else:
        assert "Ran 5 tests" in output
        assert "FAILED (failures=1, skipped=1, expected failures=1)" in output


def test_a_function_is_set_up_anew_for_each_schedule_and_what_is_wider_once(tmp_path):
    write(tmp_path, test_race=FUNCTIONS)
    status, output = run("pytest", tmp_path, "test_race.py")
    number = number_in(output)
    assert status == 1, output
    assert number is not None, output
    assert "1 failed, 1 passed, 1 xfailed" in output
    events = (tmp_path / "events.txt").read_text().splitlines()
    assert events.count("wide up") == events.count("wide down") == 1
    assert events.count("client up") == events.count("client down") == (number + 1) + 30 + 1
    assert events[0] == "wide up"
    assert events[-1] == "wide down"


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_number_runs_that_schedule_alone_and_again(runner, tmp_path):
    write(tmp_path, test_race=METHODS)
    name = "test_race.py::TestRace::test_fails" if runner == "pytest" else "test_race.TestRace.test_fails"
    _, output = run(runner, tmp_path, name)
    number = number_in(output)
    command = "python -m pytest" if runner == "pytest" else "python -m unittest"
    assert f"ASYNCUNIT_SCHEDULE={number} {command} {name}" in output
    (tmp_path / "events.txt").unlink()
    status, again = run(runner, tmp_path, name, ASYNCUNIT_SCHEDULE=str(number))
    assert status == 1
    assert number_in(again) == number
    assert (tmp_path / "events.txt").read_text().count("set up") == 1

    def switches(text):
        return [line.strip() for line in text.splitlines() if line.strip().startswith("step ")]

    assert switches(again) == switches(output) != []
    status, _ = run(runner, tmp_path, name, ASYNCUNIT_SCHEDULE="0")
    assert status == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_all_that_can_follow_schedules_does_and_the_others_are_counted(runner, tmp_path):
    source = (
        RACE
        + """
class TestOwn(asyncunit.AsyncTestCase):
    async def test_own(self):
        note("own")

class TestShared(asyncunit.ClassLoopTestCase):
    async def test_a(self):
        note("shared")

    async def test_b(self):
        note("shared")
"""
    )
    write(tmp_path, test_race=source)
    name = "test_race.py" if runner == "pytest" else "test_race"
    status, output = run(runner, tmp_path, name, ASYNCUNIT_SCHEDULES="20")
    assert status == 0, output
    events = (tmp_path / "events.txt").read_text().splitlines()
    assert (events.count("own"), events.count("shared")) == (20, 2)
    assert output.count("asyncunit: 2 tests were run once, in asyncio's own order") == 1


def test_the_timeline_of_a_run_is_written_for_perfetto(tmp_path):
    write(tmp_path, test_race=METHODS)
    name = "test_race.TestRace.test_passes"
    status, output = run("unittest", tmp_path, name, ASYNCUNIT_SCHEDULE="7", ASYNCUNIT_TRACE="trace.json")
    assert status == 0, output
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event["ph"] == "X" and event["name"].startswith("test_race.py:") for event in events)


def test_subtests_are_reported_once(tmp_path):
    source = (
        RACE
        + """
@asyncunit.settings(schedules=10)
class TestParts(asyncunit.AsyncTestCase):
    async def test_parts(self):
        for number in range(2):
            with self.subTest(number=number):
                await reply()
"""
    )
    write(tmp_path, test_race=source)
    status, output = run("unittest", tmp_path, "test_race")
    assert status == 0, output
    assert "Ran 1 test" in output
    status, output = run("pytest", tmp_path, "test_race.py")
    assert status == 0, output
    assert "1 passed" in output
    assert "20 subtests" not in output


def test_what_is_outside_is_told(tmp_path):
    source = (
        RACE
        + """
@asyncunit.settings(schedules=30)
class TestThread(asyncunit.AsyncTestCase):
    async def test_thread(self):
        await asyncio.get_running_loop().run_in_executor(None, int)
        client = Client()
        await ask_twice(client)
        self.assertEqual(client.opened, 1)
"""
    )
    write(tmp_path, test_race=source)
    _, output = run("unittest", tmp_path, "test_race")
    assert "Something outside of the loop takes part (another thread)" in output


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual clock is for Linux")
def test_a_deadlock_is_a_failure_at_once_with_who_waits_for_whom(tmp_path):
    source = (
        RACE
        + """
@asyncunit.settings(schedules=100)
class TestLocks(asyncunit.AsyncTestCase):
    async def test_locks(self):
        one, two = asyncio.Lock(), asyncio.Lock()

        async def take(first, second, after):
            for _ in range(after):
                await reply()
            async with first:
                await reply()
                async with second:
                    pass

        await asyncio.gather(take(one, two, 0), take(two, one, 4))
"""
    )
    write(tmp_path, test_race=source)
    status, output = run("unittest", tmp_path, "test_race")
    assert status == 1, output
    assert "DeadlockError" in output
    assert "These wait for each other, so none of them can go on:" in output
    assert number_in(output) is not None
    assert "Something outside" not in output


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual clock is for Linux")
def test_an_hour_takes_no_time_and_timers_may_be_late(tmp_path):
    source = (
        RACE
        + """
@asyncunit.settings(schedules=50, late_timers=0.5)
class TestTimers(asyncunit.AsyncTestCase):
    async def test_the_newer_one_is_shown(self):
        shown = []

        async def search(text):
            await asyncio.sleep(3600)
            shown.append(text)

        older = asyncio.create_task(search("a"))
        await asyncio.sleep(600)
        await asyncio.gather(older, search("ab"))
        self.assertEqual(shown[-1], "ab")
"""
    )
    write(tmp_path, test_race=source)
    status, output = run("unittest", tmp_path, "test_race")
    assert status == 1, output
    assert number_in(output) is not None


def test_uvloop_follows_schedules_with_the_real_clock(tmp_path):
    pytest.importorskip("uvloop")
    write(tmp_path, test_race=METHODS.replace("schedules=30", "schedules=30, loop_factory='uvloop:Loop'"))
    status, output = run("unittest", tmp_path, "test_race.TestRace.test_fails")
    assert status == 1, output
    assert number_in(output) is not None


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_loop_that_no_class_can_be_derived_from_is_an_error(runner, tmp_path):
    source = """
import asyncio
import asyncunit
from asyncunit import load_tests

def make():
    return asyncio.new_event_loop()

@asyncunit.settings(schedules=5, loop_factory=make)
class TestMade(asyncunit.AsyncTestCase):
    async def test_made(self):
        pass
"""
    write(tmp_path, test_made=source)
    status, output = run(runner, tmp_path, "test_made.py" if runner == "pytest" else "test_made")
    assert status == 1, output
    assert "schedules cannot be given to the loops of loop_factory" in output


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ASYNCUNIT_SCHEDULES", "0", "expected a whole number from 1 on"),
        ("ASYNCUNIT_SCHEDULE", "-1", "expected a whole number from 0 on"),
        ("ASYNCUNIT_SCHEDULE", "x", "expected a whole number from 0 on"),
        ("ASYNCUNIT_LATE_TIMERS", "-1", "expected a number from 0 on"),
    ],
)
def test_a_bad_value_is_an_error(variable, value, message, tmp_path):
    write(tmp_path, test_race=METHODS)
    status, output = run("unittest", tmp_path, "test_race.TestRace.test_passes", **{variable: value})
    # No test began: for unittest of 3.12 and 3.13 that alone makes the status, 5.
    assert status == (5 if sys.version_info[:2] in ((3, 12), (3, 13)) else 1)
    assert message in output
    assert variable in output
