"""What is async and stands together is run in one run of the loop: it comes to the same as if each part had its own."""

import asyncio
import contextvars
import gc
import itertools
import random
import unittest
import warnings
import weakref

import pytest

import asyncunit
from asyncunit import AsyncTestCase, ClassLoopTestCase
from asyncunit.scopes import registry
from tests.support import Result, suite_of

PARTS = ["fixture", "asyncSetUp", "test", "asyncTearDown", "cleanup", "after the fixture"]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


async def pass_by(case):
    await asyncio.sleep(0)


async def fail(case):
    case.assertEqual(1, 2)


async def fail_later(case):
    await asyncio.sleep(0)
    raise ValueError("later")


async def skip(case):
    case.skipTest("skipped")


async def cancel_itself(case):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def swallow_a_cancellation(case):
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        variable.set("cancelled")


async def raise_a_cancellation(case):
    raise asyncio.CancelledError("raised")


async def leave(case):
    raise SystemExit(3)


async def fail_a_subtest(case):
    for number in range(3):
        with case.subTest(number=number):
            await asyncio.sleep(0)
            case.assertNotEqual(number, 1)


async def fail_a_subtest_and_go_on_to_fail(case):
    await fail_a_subtest(case)
    raise ValueError("after the subtest")


async def take_too_long(case):
    await asyncio.sleep(60)


async def hold_the_loop_for_too_long(case):
    deadline = asyncio.get_running_loop().time() + 0.15
    while asyncio.get_running_loop().time() < deadline:
        pass


async def stop_the_loop(case):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def return_something(case):
    return "something"


async def enter_a_context(case):
    await case.enterAsyncContext(asyncio.timeout(30))


async def leave_a_task(case):
    case.left = asyncio.create_task(asyncio.sleep(60))


KINDS = [
    pass_by,
    fail,
    fail_later,
    skip,
    cancel_itself,
    swallow_a_cancellation,
    raise_a_cancellation,
    leave,
    fail_a_subtest,
    fail_a_subtest_and_go_on_to_fail,
    take_too_long,
    hold_the_loop_for_too_long,
    stop_the_loop,
    return_something,
    enter_a_context,
    leave_a_task,
]
ONLY_OF_A_TEST = (enter_a_context, return_something)
SLOW = (take_too_long, hold_the_loop_for_too_long)


class Notes(Result):
    """Notes all that is reported."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        self.notes.append(("subtest", subtest._subDescription(), type(error[1]) if error else None))

    def addDuration(self, test, elapsed):
        self.notes.append(("duration", elapsed > 0))


def make(base, kinds, is_expected):
    """A class whose parts do what is said, each a note."""
    notes = []

    async def do(part, case):
        notes.append((part, variable.get(), (case._testMethodName, asyncio.current_task())))
        variable.set(f"{variable.get()} {part}")
        return await kinds.get(part, pass_by)(case)

    class Test(base):
        @asyncunit.fixture
        async def value(self):
            await do("fixture", self)
            yield "value"
            await do("after the fixture", self)

        async def asyncSetUp(self):
            self.addAsyncCleanup(do, "cleanup", self)
            await do("asyncSetUp", self)

        async def test(self):
            assert self.value == "value"
            return await do("test", self)

        async def asyncTearDown(self):
            await do("asyncTearDown", self)

        async def test_that_comes_after(self):
            notes.append(("next", variable.get()))

    if is_expected:
        Test.test = unittest.expectedFailure(Test.test)
    timeout = 0.1 if set(kinds.values()) & set(SLOW) else None
    return asyncunit.settings(timeout=timeout, fail_on="leaked_tasks")(Test), notes


class Apart:
    """A base that stands in front of a step has each part be run apart."""

    def _callTearDown(self):
        super()._callTearDown()


def outcome_of(base, kinds, is_expected):
    Test, notes = make(base, kinds, is_expected)
    result = Notes()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        suite_of(Test).run(result)
    tasks = {note[2] for note in notes if len(note) == 3}
    return {
        "notes": [note[:2] for note in notes],
        "tasks": sorted(name for name, _ in tasks),
        "reported": result.notes,
        "errors": [(test.id().rpartition(".")[2], kind_of(text)) for test, text in result.errors + result.failures],
        "skipped": [why for _, why in result.skipped],
        "expected": len(result.expectedFailures),
        "unexpected": len(result.unexpectedSuccesses),
        "passed": result.passed,
        "warned": [warning.category for warning in shown],
    }


def kind_of(text):
    """The last line of a traceback that says what was raised; without the seconds, which differ."""
    lines = [line for line in text.splitlines() if line and not line.startswith(" ") and ": " in line]
    return lines[-1].partition(" took ")[0] if lines else text


@pytest.mark.parametrize("is_expected", [False, True], ids=["", "expected"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("part", PARTS)
def test_each_failure_in_each_part(part, kind, is_expected):
    if kind in ONLY_OF_A_TEST and part not in ("test", "asyncSetUp"):
        pytest.skip("it is for a test")
    if kind in SLOW and is_expected:
        pytest.skip("it takes its time")
    for base in (ClassLoopTestCase,) if kind in SLOW else (ClassLoopTestCase, AsyncTestCase):
        apart = type("Apart", (Apart, base), {})
        assert outcome_of(base, {part: kind}, is_expected) == outcome_of(apart, {part: kind}, is_expected)


@pytest.mark.parametrize("seed", range(10))
def test_failures_in_several_parts(seed):
    chosen = random.Random(seed)
    kinds = [kind for kind in KINDS if kind not in (*ONLY_OF_A_TEST, *SLOW)]
    for _ in range(5):
        said = {part: chosen.choice(kinds) for part in PARTS if chosen.random() < 0.5}
        is_expected = chosen.random() < 0.2
        apart = type("Apart", (Apart, ClassLoopTestCase), {})
        assert outcome_of(ClassLoopTestCase, said, is_expected) == outcome_of(apart, said, is_expected), said


def test_it_is_one_run_of_the_loop():
    runs = []

    class Loop(asyncio.SelectorEventLoop):
        def run_forever(self):
            runs.append(None)
            super().run_forever()

    def count(hook):
        class Test(AsyncTestCase):
            loop_factory = Loop

            @asyncunit.fixture
            async def value(self):
                yield

            async def asyncSetUp(self): ...

            async def test(self): ...

            async def asyncTearDown(self): ...

        if hook:
            setattr(Test, hook, lambda self: None)
        before = len(runs)
        result = Result()
        suite_of(Test).run(result)
        assert result.passed == ["test"]
        return len(runs) - before

    together = count(None)
    assert together < min(count("setUp"), count("tearDown"))


def test_a_fixture_that_does_not_come_to_its_yield_ends_the_set_up_after_others():
    notes = []

    class Test(ClassLoopTestCase):
        @asyncunit.fixture
        async def first(self):
            yield
            notes.append("after the first")

        @asyncunit.fixture
        async def second(self, first):
            notes.append("second")
            if notes == []:
                yield

        async def test(self):
            notes.append("test")

    result = Result()
    suite_of(Test).run(result)
    error = result.only_error()
    assert type(error) is asyncunit.DefinitionError
    assert "came to its end without a yield" in str(error)
    assert notes == ["second", "after the first"]


def test_a_hook_that_raises_what_ends_a_generator_is_told_as_it_is():
    notes = []

    class Test(ClassLoopTestCase):
        @asyncunit.fixture
        async def value(self):
            yield
            notes.append("after the fixture")

        async def asyncSetUp(self):
            raise StopAsyncIteration("of the hook")

        async def test(self): ...

    result = Result()
    suite_of(Test).run(result)
    assert repr(result.only_error()) == "StopAsyncIteration('of the hook')"
    assert notes == ["after the fixture"]


def test_debug_tears_down_nothing_after_an_error():
    events = []

    class Test(ClassLoopTestCase):
        async def asyncSetUp(self): ...

        async def test(self):
            raise ValueError("boom")

        async def asyncTearDown(self):
            events.append("torn down")

    case = Test("test")
    with pytest.raises(ValueError, match="boom"):
        case.debug()
    assert events == []
    case.doCleanups()
    assert registry.runs() == []


def test_failfast_stops_at_a_subtest_of_a_test_that_is_run_with_its_set_up():
    seen = []

    class Test(ClassLoopTestCase):
        async def asyncSetUp(self): ...

        async def test(self):
            for number in itertools.count():
                with self.subTest(number=number):
                    seen.append(number)
                    assert number < 1

        async def asyncTearDown(self):
            seen.append("torn down")

    result = Result()
    result.failfast = True
    suite_of(Test).run(result)
    assert seen == [0, 1, "torn down"]
    assert len(result.failures) == 1


def test_what_is_run_together_is_let_go_without_a_search_for_garbage():
    class Value: ...

    values = []

    class Test(ClassLoopTestCase):
        @asyncunit.fixture
        async def value(self):
            value = Value()
            values.append(weakref.ref(value))
            yield value

        async def test(self): ...

    result, suite = Result(), suite_of(Test)
    gc.disable()
    try:
        suite.run(result)
        assert result.wasSuccessful()
        assert values[0]() is None
    finally:
        gc.enable()
