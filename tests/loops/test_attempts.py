import asyncio
import functools

import pytest

from asyncunit import ConfigurationError
from asyncunit.config.settings import Config, VirtualLoops
from asyncunit.loops.attempts import Attempt, attempts_of, ran_once
from asyncunit.loops.schedules import Scheduled
from tests.loops.races import replies


def numbers(**settings):
    return [attempt.number for attempt in attempts_of(Config(**settings))]


def test_a_test_has_asyncios_own_order_first_then_the_others():
    assert numbers() == [0]
    assert numbers(schedules=3) == [0, 1, 2]


def test_one_number_is_run_alone():
    attempts = attempts_of(Config(schedules=3, schedule=17))
    assert [(attempt.number, attempt.is_alone) for attempt in attempts] == [(17, True)]


def test_a_configuration_says_whether_there_is_anything_to_do():
    assert not Config().explores
    assert Config(schedules=2).explores
    assert Config(schedule=0).explores
    assert Config(trace="trace.json").explores


def made_by(factory, number=3, **settings):
    made = Attempt(number, Config(**settings), is_alone=False).maker(factory)()
    made.close()
    return made


def test_asyncios_own_order_needs_no_loop_of_ours():
    assert not isinstance(made_by(asyncio.SelectorEventLoop, 0), Scheduled)
    assert isinstance(made_by(asyncio.SelectorEventLoop, 0, trace="trace.json"), Scheduled)


class OwnLoop(asyncio.SelectorEventLoop):
    def __init__(self, selector=None, *, name="plain"):
        super().__init__(selector)
        self.name = name


def test_a_loop_of_the_factorys_class_follows_the_schedule():
    assert isinstance(made_by(asyncio.new_event_loop), asyncio.SelectorEventLoop)
    made = made_by(functools.partial(OwnLoop, name="named"))
    assert isinstance(made, Scheduled)
    assert isinstance(made, OwnLoop)
    assert (made.name, made.schedule) == ("named", 3)


def test_uvloop_is_named_by_its_function_or_its_class():
    uvloop = pytest.importorskip("uvloop")
    for factory in (uvloop.new_event_loop, uvloop.Loop):
        made = made_by(factory)
        assert isinstance(made, Scheduled)
        assert isinstance(made, uvloop.Loop)


def test_a_function_that_makes_loops_has_no_class_to_derive_from():
    with pytest.raises(ConfigurationError, match="schedules cannot be given to the loops of loop_factory"):
        made_by(lambda: asyncio.SelectorEventLoop())


def test_the_clock_is_virtual_unless_one_was_asked_for_or_there_can_be_none():
    def clocked(factory, **settings):
        return Attempt(3, Config(**settings), is_alone=False).clocked(factory)

    assert isinstance(clocked(None), VirtualLoops)
    assert isinstance(clocked(asyncio.SelectorEventLoop), VirtualLoops)
    assert clocked(None, sources={"clock": "test_x.py"}) is None
    assert clocked(len) is len


def failed(number, **values):
    attempt = Attempt(number, Config(), is_alone=False)
    loop = attempt.maker(asyncio.SelectorEventLoop)()

    async def main():
        await asyncio.gather(replies(2), replies(2))

    loop.run_until_complete(main())
    for name, value in values.items():
        setattr(loop, name, value)
    loop.close()
    return attempt.note("python -m unittest", "test_x.Test.test_y")


def test_a_failure_says_its_number_the_command_and_the_last_switches():
    lines = failed(5).splitlines()
    assert lines[0] == "This is schedule 5. In asyncio's own order it passes, and under schedules 1 to 4."
    assert lines[1] == "To run this one again:  ASYNCUNIT_SCHEDULE=5 python -m unittest test_x.Test.test_y"
    assert lines[2] == "The last switches before it failed:"
    assert all(line.startswith("  step ") for line in lines[3:])
    assert len(lines) > 4


def test_a_failure_under_the_first_schedule_has_none_before_it():
    assert failed(1).startswith("This is schedule 1. In asyncio's own order it passes.\n")


def test_what_was_outside_is_told():
    assert "Something outside of the loop takes part (another process)" in failed(5, outside={"another process": None})


def test_tests_that_cannot_follow_schedules_are_counted():
    assert ran_once(1).startswith("asyncunit: 1 test was run once, in asyncio's own order")
    assert ran_once(2).startswith("asyncunit: 2 tests were run once")
