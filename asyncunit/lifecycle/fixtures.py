"""Fixtures while they are set up: one, with what is to be called to tear it down; those of a scope, a class, a test."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Mapping
from typing import Any

from asyncunit.errors import DefinitionError, LoopClosedError, LoopScopeError, raise_all
from asyncunit.introspection.frames import is_at_yield, is_guarded_at_yield
from asyncunit.introspection.functions import class_name, discard
from asyncunit.introspection.tracebacks import printing_at_interrupt
from asyncunit.lifecycle.async_scope import AsyncScope, async_scope_of, unwind
from asyncunit.lifecycle.cleanups import (
    ContextExit,
    Exit,
    as_exception,
    call_without_task,
    cut_short,
    leave,
    put_behind,
)
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import TearDown
from asyncunit.plans.class_plan import Plan, TestPlan
from asyncunit.plans.fixtures import Fixture, Node, Request, is_fixture
from asyncunit.plans.loop_choice import LoopChoice
from asyncunit.plans.variants import Param
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope
from asyncunit.scopes.registry import Run

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def make(
    fixture: Fixture[Any],
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    scope: OpenScope,
    scope_task: ScopeTask | None,
    register: Callable[[Exit], None],
) -> Any:
    """Call the function of a fixture in its scope, and return the value; register what tears it down, if it yields.

    That is registered as soon as the set-up has come to its yield, also where the step then raises all the same:
    because it took too long, or was cancelled just then.

    What is async about it runs in the task of the scope, by ``scope_task``, and the rest outside the loop, in the same
    context. Raises CancelledError where the scope was cancelled meanwhile.
    """
    made: Any
    if fixture.is_lazy:
        made = fixture.function(*arguments, **keywords)
    elif scope_task is None:
        made = call_without_task(scope, fixture.function, *arguments, **keywords)
    else:
        made = scope_task.call_sync(fixture.function, *arguments, **keywords)
    if fixture.is_generator:
        return _begin(fixture, made, scope, scope_task, register)
    return _value_of(fixture, made, scope_task)


def _begin(
    fixture: Fixture[Any], made: Any, scope: OpenScope, scope_task: ScopeTask | None, register: Callable[[Exit], None]
) -> Any:
    """Run the set-up of a generator."""
    if scope_task is not None and type(made) is types.AsyncGeneratorType:
        exit_ = AsyncExit(scope_task, fixture, made)
        first: Any = anext(made)
        try:
            return scope_task.run(first)
        except StopAsyncIteration:
            raise no_yield(fixture) from None
        finally:
            first.close()  # it may not have begun, and Python would warn
            if exit_.is_due:
                register(exit_)
    if type(made) is types.GeneratorType:
        steps = _ScopedExit(fixture, made, scope, scope_task)
        try:
            return call_without_task(scope, steps.enter) if scope_task is None else scope_task.call_sync(steps.enter)
        finally:
            if is_at_yield(made):
                register(steps)
    raise DefinitionError(
        f"{fixture} returned {made!r}; expected a generator, because it has a yield. Take away the decorator under "
        f"@asyncunit.fixture that makes something else of it."
    )


def _value_of(fixture: Fixture[Any], made: Any, scope_task: ScopeTask | None) -> Any:
    """The value that the function of a fixture has returned, awaited where it is a coroutine."""
    if inspect.isasyncgen(made) or inspect.isgenerator(made):
        raise DefinitionError(
            f"{fixture} returned {made!r}, which a decorator seems to have hidden, so nothing of it has run. Write "
            f"@functools.wraps(function) in the decorator; or to have it as the value, return it in something else."
        )
    if not inspect.iscoroutine(made):
        return made
    if scope_task is None:
        discard(made)
        raise DefinitionError(
            f"{fixture} returned {made!r}, which nobody awaits, for it is not written as async. Write 'async def'."
        )
    return scope_task.run(made)


class AsyncExit(ContextExit, TearDown):
    """The tear-down of an async generator; may be awaited by whoever runs in the task of the scope."""

    def __init__(self, scope_task: ScopeTask, fixture: Fixture[Any], generator: AsyncGenerator[object, Any]) -> None:
        self.scope_task = scope_task
        self.fixture = fixture
        self._generator = generator

    @property
    def is_due(self) -> bool:
        """Whether the set-up has come to its yield, however the step has ended: then the tear-down is to be run."""
        return is_at_yield(self._generator)

    async def leave(self) -> None:
        """Run the tear-down, in the task of the scope."""
        if self.scope_task.cancellation is not None and is_guarded_at_yield(self._generator):
            await super().leave()
            return
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            return
        await self._refuse_second_yield()

    def _run(self) -> None:
        try:
            super()._run()
        except LoopClosedError:
            self.drop()
            raise

    def drop(self) -> None:
        """Close the generator as far as that goes without its loop, which is closed; Python would, and warn."""
        super().drop()
        closing = self._generator.aclose()
        with contextlib.suppress(StopIteration, GeneratorExit, RuntimeError):  # of what would need the loop
            closing.send(None)
            closing.throw(GeneratorExit)

    async def _exit(self, error: BaseException) -> bool:
        try:
            await self._generator.athrow(error)
        except StopAsyncIteration:
            return True
        await self._refuse_second_yield()
        return False

    async def _refuse_second_yield(self) -> None:
        try:
            raise _second_yield(self.fixture)
        finally:
            await self._generator.aclose()


class SyncSteps:
    """A generator of a fixture: what stands in front of its yield, and what stands behind it."""

    def __init__(self, fixture: Fixture[Any], generator: Generator[object, Any, object]) -> None:
        self.fixture = fixture
        self._generator = generator

    def enter(self) -> Any:
        """Run the set-up, and return what it yields."""
        try:
            return next(self._generator)
        except StopIteration:
            raise no_yield(self.fixture) from None

    @property
    def is_guarded(self) -> bool:
        """Whether something around the yield can see what is thrown into it."""
        return is_guarded_at_yield(self._generator)

    def leave(self, cancellation: BaseException | None = None) -> None:
        """Run the tear-down; a cancellation is thrown into it, where something around the yield can see it."""
        try:
            if cancellation is None:
                next(self._generator)
            else:
                self._generator.throw(cancellation)
        except StopIteration:
            return
        try:
            raise _second_yield(self.fixture)
        finally:
            self._generator.close()


class _ScopedExit(SyncSteps):
    """The tear-down of a generator, run outside the loop; it is told of a cancellation as async ones are."""

    def __init__(
        self,
        fixture: Fixture[Any],
        generator: Generator[object, Any, object],
        scope: OpenScope,
        scope_task: ScopeTask | None,
    ) -> None:
        super().__init__(fixture, generator)
        self._scope = scope
        self._scope_task = scope_task

    def __call__(self) -> None:
        scope_task = self._scope_task
        if scope_task is None:
            call_without_task(self._scope, self.leave)
            return
        scope_task.is_ending = True
        cancellation = scope_task.cancellation if self.is_guarded else None
        try:
            scope_task.call_sync(self.leave, cancellation)
            if cancellation is not None:
                scope_task.cancellation = None
        except (KeyboardInterrupt, SystemExit):
            raise
        except CancelledError as error:
            if cancellation is not None:
                scope_task.cancellation = put_behind(error, cancellation)
            elif not scope_task.cancelled(error):
                raise cut_short(scope_task.scope, error) from error
        except BaseException as error:
            if cancellation is None:
                raise
            scope_task.cancellation = put_behind(error, cancellation)


def no_yield(fixture: Fixture[Any]) -> DefinitionError:
    """The error for a generator that comes to its end before it yields."""
    return DefinitionError(
        f"{fixture} came to its end without a yield. Have each way through it yield the value once, or raise "
        f"unittest.SkipTest."
    )


def _second_yield(fixture: Fixture[Any]) -> DefinitionError:
    return DefinitionError(
        f"{fixture} yields a second time. A fixture yields once: what stands after the yield tears it down. For "
        f"several values, write params=[...]."
    )


# The fixtures of a scope, a class, a test.


class OpenFixture:
    """A fixture that was set up: its value and what tears it down, or the error that it raised.

    ``async_scope`` is what it goes down with, None where neither it nor a fixture behind it needs a loop. ``forget`` is
    called before it is torn down, None where nobody else has its value.
    """

    forget: Exit | None = None

    def __init__(self, node: Node, async_scope: AsyncScope | None) -> None:
        self.node = node
        self.async_scope = async_scope
        self.value: Any = None
        self.exit_: Exit | None = None
        self.error: Exception | None = None
        self.traceback: types.TracebackType | None = None

    def get(self) -> Any:
        """Its value; raises the error that it raised, again for each who asks."""
        if self.error is not None:
            raise self.error.with_traceback(self.traceback)
        return self.value


class ScopeFixtures:
    """The fixtures that are set up in one open scope, wider than a test.

    ``open_fixtures`` is in the order of their set-up.
    """

    def __init__(self, open_scope: OpenScope) -> None:
        self.open_fixtures: dict[Hashable, OpenFixture] = {}
        # What the running class sees; None above the class.
        self.seen: Mapping[Node, Any] | None = None
        self._open_scope = open_scope
        open_scope.fixtures = self

    def find(self, fixture: Fixture[Any], _instance: object) -> tuple[Any] | None:
        """The value of the fixture, in a tuple; None if it has none here."""
        if self.seen is not None:
            return find_in(self.seen, fixture)
        return next(
            (
                (open_fixture.value,)
                for open_fixture in reversed(self.open_fixtures.values())
                if open_fixture.node.fixture is fixture and not open_fixture.error
            ),
            None,
        )

    def shared(self, node: Node, loop_runner: LoopRunner | None) -> OpenFixture | None:
        """The fixture as it is here, on that loop, or has failed, whoever has set it up; not one with params."""
        for open_fixture in self.open_fixtures.values():
            if open_fixture.node is node and _loop_of(open_fixture) is loop_runner and not node.varies:
                return open_fixture
        return None

    def forget_errors(self) -> None:
        """Have what has failed be tried again by the next who asks for it."""
        for key, open_fixture in list(self.open_fixtures.items()):
            if open_fixture.error is not None and open_fixture.exit_ is None:
                del self.open_fixtures[key]

    def tear_down_what_rests_on(self, ended: OpenFixture) -> list[Exception]:
        """Tear down what would outlive a fixture that it needs, and return what that raised.

        What rests on an async fixture has the value that is made on its own loop.
        """
        on = _loop_of(ended)
        return self._tear_down(
            [
                key
                for key, open_fixture in self.open_fixtures.items()
                if open_fixture.node.rests_on(ended.node) and (on is None or _loop_of(open_fixture) is on)
            ]
        )

    def tear_down(self, async_scope: AsyncScope) -> list[Exception]:
        """Tear down what goes down with the async scope, and return what that raised."""
        return self._tear_down(
            [key for key, open_fixture in self.open_fixtures.items() if open_fixture.async_scope is async_scope]
        )

    def lose(self, async_scope: AsyncScope) -> list[Exception]:
        """Tear down what goes down with the async scope, but for what would need its loop, which is closed."""
        for open_fixture in self.open_fixtures.values():
            if open_fixture.async_scope is async_scope and isinstance(open_fixture.exit_, AsyncExit):
                open_fixture.exit_ = open_fixture.exit_.drop
        return self.tear_down(async_scope)

    def end(self, key: Hashable, open_fixture: OpenFixture) -> None:
        """Tear down one fixture, if that is still set up, as its scope ends; raises what that raised."""
        if self.open_fixtures.get(key) is open_fixture:
            raise_all(self._tear_down([key]), f"tearing down {open_fixture.node.fixture}")

    def close(self) -> list[Exception]:
        """Tear down all that is set up, and return what that raised. May be called twice."""
        return self._tear_down(list(self.open_fixtures))

    def _tear_down(self, keys: list[Hashable]) -> list[Exception]:
        errors: list[Exception] = []
        with printing_at_interrupt(self._open_scope, errors):
            for key in reversed(keys):
                open_fixture = self.open_fixtures.pop(key)
                for call in (open_fixture.forget, open_fixture.exit_):
                    if call is not None:
                        errors += [as_exception(error, self._open_scope) for error in leave(call)]
        return errors


def _loop_of(open_fixture: OpenFixture) -> LoopRunner | None:
    """The loop that the fixture lives on; None where neither it nor a fixture behind it needs one."""
    return None if open_fixture.async_scope is None else open_fixture.async_scope.scope_task.loop_runner


def find_in(values: Mapping[Node, Any], fixture: Fixture[Any]) -> tuple[Any] | None:
    """The value of the fixture among those, in a tuple; None if it has none there."""
    return next(((value,) for node, value in values.items() if node.fixture is fixture), None)


class ClassFixtures:
    """The fixtures of one class that is run: set up for all of it, and for each of its tests.

    ``values`` are those of the fixtures that all of its tests use, and ``by_name`` those of them that tests read as
    attributes, but for what a hook of the class has put in the place of one. ``loop_runner`` is the loop that the tests
    share: one of the class's own is known once the class has opened it, and None stands for one for each test.
    """

    def __init__(self, run: Run, cls: type, plan: Plan, choice: LoopChoice, loop_runner: LoopRunner | None) -> None:
        self.cls = cls
        self.plan = plan
        self.values: dict[Node, Any] = {}
        self.by_name: dict[str, Any] = {}
        self.loop_runner = loop_runner
        self._run = run
        self._choice = choice

    def set_up(self, least: Scope) -> None:
        """Set up what all tests of the class use, in scopes at least that wide, if it is not."""
        nodes = [node for node in self.plan.shared if node.fixture.scope >= least]
        self._obtain_all(nodes, self.values, {})
        for node in nodes:
            self.by_name.update(dict.fromkeys(self.plan.attributes.get(node, ()), self.values[node]))

    def yield_to_hooks(self) -> None:
        """Let a value that a hook of the class has put in the place of a fixture's be the one that tests read."""
        for name in list(self.by_name):
            if not is_fixture(inspect.getattr_static(self.cls, name)):
                del self.by_name[name]

    def for_test(self, plan: TestPlan) -> dict[Node, Any]:
        """The values that are there before the scope of a test opens, where it uses wide fixtures of its own."""
        values = self.values.copy()
        self._obtain_all(plan.wide, values, plan.chosen)
        return values

    def _obtain_all(self, nodes: Iterable[Node], values: dict[Node, Any], chosen: Mapping[Node, Param]) -> None:
        cut = None
        try:
            for node in nodes:
                values[node] = self.obtain(node, values, chosen)
        except CancelledError as error:
            cut = error
        if cut is not None:
            # `obtain` lets no cancellation through but that of a task on the loop.
            assert self.loop_runner is not None
            innermost = self._run.chain[-1]
            *others, reason = unwind(self._run, self.loop_runner) or [cut_short(innermost, cut)]
            innermost.tell_later(others)
            raise reason

    def obtain(self, node: Node, values: Mapping[Node, Any], chosen: Mapping[Node, Param]) -> Any:
        """The value of a fixture that is wider than a test: made on the first call, found on the next.

        One that has failed raises the same error again.
        """
        scope = node.fixture.scope
        open_scope = self._run.innermost(scope)
        fixtures: ScopeFixtures = open_scope.fixtures or ScopeFixtures(open_scope)
        loop_runner = self.loop_runner if node.needs_loop else None
        key = (node, loop_runner, *(chosen[varying].id for varying in node.varies))
        open_fixture = fixtures.open_fixtures.get(key)
        if open_fixture is None:
            open_fixture = fixtures.shared(node, loop_runner)
        if open_fixture is None:
            async_scope = self._async_scope_for(node, open_scope)
            open_fixture = OpenFixture(node, async_scope if node.needs_loop else None)
            self._make(open_fixture, key, values, chosen, open_scope, async_scope)
            fixtures.open_fixtures[key] = open_fixture
            if open_fixture.exit_ is not None:
                self._run.tear_down_with(open_scope, functools.partial(fixtures.end, key, open_fixture))
        return open_fixture.get()

    def _async_scope_for(self, node: Node, open_scope: OpenScope) -> AsyncScope | None:
        """The async scope in whose task it is set up; None where the loop of the class does not last so long."""
        if self.loop_runner is not None and self._choice.scope >= open_scope.scope:
            return async_scope_of(open_scope, self.loop_runner)
        if node.needs_loop:
            raise LoopScopeError(
                f"{class_name(self.cls)} runs on {self._choice}, but the {node.fixture} needs a "
                f"loop that lasts for the {open_scope.scope}. Write in {self.cls.__qualname__}:  "
                f'loop_scope = "{open_scope.scope}"'
            )
        return None

    def _make(
        self,
        open_fixture: OpenFixture,
        key: Hashable,
        values: Mapping[Node, Any],
        chosen: Mapping[Node, Param],
        open_scope: OpenScope,
        async_scope: AsyncScope | None,
    ) -> None:
        fixture = open_fixture.node.fixture
        is_of_class = fixture.scope is Scope.CLASS
        first = self.cls if is_of_class else fixture.owner
        arguments = () if fixture.owner is None else (first,)
        keywords = _keywords(open_fixture.node, values, chosen, self.cls if is_of_class else None, None)
        scope_task = None if async_scope is None else async_scope.scope_task
        if scope_task is not None:
            scope_task.begin_set_up()

        def register(exit_: Exit) -> None:
            open_fixture.exit_ = exit_
            open_scope.fixtures.open_fixtures[key] = open_fixture

        try:
            with self._run.spreading(open_scope):
                open_fixture.value = make(fixture, arguments, keywords, open_scope, scope_task, register)
        except CancelledError as error:
            assert scope_task is not None  # else it was raised as another error
            scope_task.set_up_was_cut(error)
            raise
        except (Exception, SystemExit) as error:
            open_fixture.error = as_exception(error, open_scope)
            open_fixture.traceback = open_fixture.error.__traceback__


class TestFixtures:
    """The fixtures of one running test, its scope being open.

    ``clean_up`` runs what a tear-down has registered as cleanups, before the next one, and returns what that raised.
    """

    __slots__ = ("_case", "_clean_up", "_of_class", "_scope_task", "_values", "exits", "plan")

    def __init__(
        self,
        of_class: ClassFixtures,
        plan: TestPlan,
        case: Any,
        scope_task: ScopeTask,
        values: dict[Node, Any],
        clean_up: Callable[[], list[BaseException]],
    ) -> None:
        self.plan = plan
        self.exits: list[Exit] = []
        self._of_class = of_class
        self._case = case
        self._scope_task = scope_task
        self._values = values
        self._clean_up = clean_up
        scope_task.scope.fixtures = self
        own = case.__dict__  # what vars() gives, but sooner
        own.update(of_class.by_name)
        for node in plan.wide:
            own.update(dict.fromkeys(of_class.plan.attributes.get(node, ()), values[node]))

    def set_up(self, nodes: Iterable[Node]) -> None:
        """Set up fixtures; raises what one of them raises, and leaves the rest."""
        scope_task = self._scope_task
        for node in nodes:
            if node.is_of_test:
                arguments = () if node.fixture.owner is None else (self._case,)
                keywords = _keywords(node, self._values, self.plan.chosen, self._of_class.cls, self._case)
                value = make(node.fixture, arguments, keywords, scope_task.scope, scope_task, self.exits.append)
            else:
                value = self._of_class.obtain(node, self._values, self.plan.chosen)
            self.put(node, value)

    # A fixture that is plainly async, set up in the task together with others: `begin`, then `put` or `drop`.

    def begin(self, node: Node) -> Awaitable[Any]:
        """What is to be awaited in the task for the value of the fixture."""
        case, fixture = self._case, node.fixture
        keywords = _keywords(node, self._values, self.plan.chosen, self._of_class.cls, case)
        made: Any = node.function(**keywords) if fixture.owner is None else node.function(case, **keywords)
        if node.is_generator:
            self.exits.append(AsyncExit(self._scope_task, fixture, made))
            made = anext(made)
        awaitable: Awaitable[Any] = made
        return awaitable

    def drop(self, node: Node, error: BaseException) -> BaseException | None:
        """Give up the fixture that was begun last, because of an error; return what is to be raised in place of that.

        It is torn down where it has come to its yield all the same: it took too long, or was cancelled just then.
        """
        exit_ = self.exits[-1] if self.exits else None
        if not isinstance(exit_, AsyncExit) or exit_.fixture is not node.fixture or exit_.is_due:
            return None
        self.exits.pop()
        return no_yield(node.fixture) if type(error) is StopAsyncIteration else None

    def put(self, node: Node, value: Any) -> None:
        """Let the value be found, by the test and by what it names."""
        self._values[node] = value
        for name in self._of_class.plan.attributes.get(node, ()):
            self._case.__dict__[name] = value

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which the test has values of fixtures among its attributes."""
        return self._of_class.plan.names

    @property
    def arguments(self) -> dict[str, object]:
        """What fills the parameters of the test."""
        plan = self.plan
        return {**plan.values, **{name: self._values[node] for name, node in plan.arguments}}

    def find(self, fixture: Fixture[Any], instance: object) -> tuple[Any] | None:
        """The value of the fixture for the test, in a tuple; None if it has none, or another test asks."""
        return find_in(self._values, fixture) if instance is None or instance is self._case else None

    @property
    def has_async_exit(self) -> bool:
        """Whether any tear-down is to be run in the task of the scope."""
        return any(isinstance(exit_, AsyncExit) for exit_ in self.exits)

    def next_tear_down(self) -> Coroutine[Any, Any, None] | None:
        """The next tear-down, if that is to be run in the task of the scope."""
        exit_ = self.exits[-1]
        if not isinstance(exit_, AsyncExit):
            return None
        self.exits.pop()
        self._scope_task.is_ending = True
        return exit_.leave()

    def tear_down(self) -> list[BaseException]:
        """Tear down what was set up for the test, and return what that raised."""
        scope = self._scope_task.scope
        errors: list[BaseException] = scope.take_untold() if scope.untold else []
        if self.exits:  # mostly, all have been called by then
            with printing_at_interrupt(scope, errors):
                while self.exits:
                    errors += leave(self.exits.pop())
                    errors += self._clean_up()
        scope.fixtures = None
        own = self._case.__dict__
        for name in self._of_class.plan.names:
            own.pop(name, None)
        return errors

    def close(self) -> list[Exception]:
        """As `tear_down`: for a scope that is left before its test has come so far."""
        return [as_exception(error, self._scope_task.scope) for error in self.tear_down()]


def _keywords(
    node: Node, values: Mapping[Node, Any], chosen: Mapping[Node, Param], cls: type | None, instance: object
) -> dict[str, Any]:
    """What fills the parameters of a fixture, but for the first one."""
    keywords: dict[str, Any] = {}
    for name, dependency in node.dependencies:
        keywords[name] = values[dependency]
    if node.takes_request:
        own = chosen.get(node)
        values_of_own = None if own is None else own.values
        keywords["request"] = Request(str(node.fixture.scope), cls, instance, node.fixture, values_of_own)
    return keywords
