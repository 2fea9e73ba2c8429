import asyncio

from asyncunit.config.settings import Config
from asyncunit.loops.instruments import Instrument
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask, WideTask
from tests.conftest import open_scope


class Noting(Instrument):
    """Notes what it is told."""

    made = []

    def __init__(self, loop, loop_owner=None):
        super().__init__(loop, loop_owner)
        self.told = []
        self.made.append(self)

    def step_begins(self, loop, config):
        self.told.append("begins")
        return lambda: self.told.append(f"in the loop: {asyncio.get_running_loop() is loop}")

    def step_ends(self):
        self.told.append("ends")

    def raised_between_steps(self, error):
        self.told.append(repr(error))

    def loop_closed(self, loop, left):
        self.told.append([task.get_name() for task in left])
        return [ValueError("told as the loop closed")]


async def value():
    return 5


def test_an_instrument_is_told_of_what_is_watched_and_of_the_end():
    loop_runner = LoopRunner(open_scope(), None, None, Noting)
    instrument = loop_runner.instrument
    scope = open_scope()
    scope.config = Config(timeout=10)
    task = ScopeTask(loop_runner, scope)
    assert task.run(value()) == 5
    assert ScopeTask(loop_runner, open_scope()).run(value()) == 5  # for which nothing is asked
    left = asyncio.Task(asyncio.sleep(10), loop=loop_runner.loop, name="left")
    [error] = loop_runner.close()
    assert str(error) == "told as the loop closed"
    assert instrument.told == ["begins", "in the loop: True", "ends", ["left"]]
    assert left.cancelled()


def test_what_is_thrown_out_of_a_turn_is_told():
    loop_runner = LoopRunner(open_scope(), None, None, Noting)

    def leave():
        raise SystemExit(3)

    loop_runner.loop.call_soon(leave)
    loop_runner.turn()
    assert loop_runner.instrument.told == ["SystemExit(3)"]
    loop_runner.close()


def test_each_loop_has_an_instrument_of_its_own():
    Noting.made.clear()
    loop_runner = LoopRunner(open_scope(), None, None, Noting)
    loop_runner.close()
    loop_runner.renew()
    assert len(Noting.made) == 2
    assert loop_runner.instrument is Noting.made[1]
    loop_runner.close()


def test_what_a_wide_scope_does_is_meant_to_stay():
    loop_runner = LoopRunner(open_scope(), None)
    loop_runner.instrument.is_new_to_tests = False
    ScopeTask(loop_runner, open_scope()).run(value())
    assert not loop_runner.instrument.is_new_to_tests
    WideTask(loop_runner, open_scope()).run(value())
    assert loop_runner.instrument.is_new_to_tests
    assert loop_runner.close() == []
