"""Loops of which classes can have a virtual clock, and what is said of the others."""

import asyncio
import functools
import selectors
import sys

import pytest

from asyncunit.errors import ConfigurationError
from asyncunit.loops.virtual_clock import virtual_clock_factory
from tests.loops.virtual_loops import HOUR, run

linux = pytest.mark.skipif(sys.platform != "linux", reason="the virtual clock is for Linux")


class Loop(asyncio.SelectorEventLoop):
    """A loop of the user's own."""

    def __init__(self, name="none", selector=None):
        super().__init__(selector)
        self.name = name


@linux
@pytest.mark.parametrize(
    ("factory", "name"), [(Loop, "none"), (functools.partial(functools.partial(Loop, "mine"), selector=None), "mine")]
)
def test_a_class_is_derived_from_and_its_arguments_are_kept(factory, name):
    async def main():
        await asyncio.sleep(HOUR)
        loop = asyncio.get_running_loop()
        return loop.name, isinstance(loop, Loop), loop.time()

    assert run(main(), factory=factory) == (name, True, HOUR)


@linux
def test_a_selector_of_the_users_is_asked():
    class Selector(selectors.SelectSelector):
        asked = 0

        def select(self, timeout=None):
            Selector.asked += 1
            return super().select(timeout)

    run(asyncio.sleep(HOUR), factory=functools.partial(Loop, selector=Selector()))
    assert Selector.asked


@linux
def test_each_class_is_derived_once():
    assert virtual_clock_factory(None) is virtual_clock_factory(asyncio.SelectorEventLoop)
    assert virtual_clock_factory(asyncio.new_event_loop) is virtual_clock_factory(None)
    assert virtual_clock_factory(None) is not virtual_clock_factory(None, 0.05)


@linux
def test_a_function_is_refused():
    def make():
        return asyncio.SelectorEventLoop()

    with pytest.raises(ConfigurationError, match=r"(?s)loop_factory <function .*make.*Set loop_factory to a class"):
        virtual_clock_factory(make)


@linux
def test_another_kind_of_loop_is_refused():
    with pytest.raises(ConfigurationError, match=r"BaseEventLoop: it is no subclass of asyncio.SelectorEventLoop"):
        virtual_clock_factory(asyncio.BaseEventLoop)


@linux
def test_uvloop_is_refused_with_the_reason():
    uvloop = pytest.importorskip("uvloop")
    for factory in (uvloop.Loop, uvloop.new_event_loop):
        with pytest.raises(ConfigurationError, match=r"timers of uvloop are in C, and do not ask loop\.time\(\)\. Set"):
            virtual_clock_factory(factory)


@linux
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated")
def test_a_policy_with_other_loops_is_refused():
    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = Loop

    asyncio.set_event_loop_policy(Policy())
    try:
        with pytest.raises(ConfigurationError, match=r"policy, which makes .*Loop\. Set loop_factory = .*\.Loop\."):
            virtual_clock_factory(None)
    finally:
        asyncio.set_event_loop_policy(None)


@linux
def test_a_class_that_makes_its_loop_past_the_others_is_refused():
    class Rude(asyncio.SelectorEventLoop):
        def __init__(self):
            asyncio.SelectorEventLoop.__init__(self)

    with pytest.raises(ConfigurationError, match=r"without it by .*Rude\. Its __init__\(\) is to call super"):
        virtual_clock_factory(Rude)()


@linux
def test_a_class_that_cannot_be_derived_from_is_refused():
    class Final(asyncio.SelectorEventLoop):
        def __init_subclass__(cls, **kwargs):
            raise TypeError("it is final")

    with pytest.raises(ConfigurationError, match=r"no class can be derived from .*Final: it is final"):
        virtual_clock_factory(Final)


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_other_systems_are_refused(platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(ConfigurationError, match=rf"for Linux so far, and this is '{platform}'.*skipUnless"):
        virtual_clock_factory(None)
