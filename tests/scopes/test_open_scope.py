import asyncio
import contextvars
import gc

import pytest

from asyncunit import Scope
from asyncunit.config.settings import Config
from asyncunit.scopes.open_scope import (
    Carried,
    OpenScope,
    Within,
    came_from_outside,
    changes,
    context_of,
    current_owner,
    give,
    given_to,
    is_mark,
    owner_of,
    values_around,
)
from tests.conftest import open_scope


def opened(scope=Scope.CLASS, key="example", within=None):
    context = contextvars.copy_context() if within is None else within.context.copy()
    return OpenScope(scope, key, context, within)


def test_a_scope_that_let_go_of_its_context_knows_whether_anything_holds_it():
    clean, left = opened(), opened()
    kept = left.context.run(contextvars.copy_context)
    assert not clean.let_go()
    assert left.let_go()
    del kept


def test_what_was_made_is_known_as_long_as_it_is_there():
    class Thing:
        pass

    scope, thing = opened(), Thing()
    assert scope.place_of(thing) is None
    scope.note(thing, "here")
    assert (scope.things(), scope.place_of(thing)) == ([thing], "here")
    del thing
    gc.collect()
    assert scope.things() == []
    assert scope.made == {}


def test_the_configuration_is_the_wider_scopes_until_it_says_otherwise():
    outer = opened(Scope.MODULE)
    outer.config = Config(timeout=5)
    assert opened(Scope.CLASS, within=outer).config.timeout == 5


def test_a_scope_is_inside_itself_and_those_around_it():
    outer = opened(Scope.MODULE)
    inner = opened(within=outer)
    assert (inner.is_inside(outer), inner.is_inside(inner), outer.is_inside(inner)) == (True, True, False)


def test_a_scope_is_named_as_unittest_names_it():
    class Test:
        pass

    of_class = opened(Scope.CLASS, Test)
    name = f"{__name__}.{Test.__qualname__}"
    assert str(of_class) == f"class {name}"
    assert str(opened(Scope.FUNCTION, "test_x", of_class)) == f"test_x ({name}.test_x)"
    assert (str(opened(Scope.MODULE, "a.b")), str(opened(Scope.SESSION, None))) == ("module a.b", "session")


@pytest.mark.parametrize("name", ["hooks", "fixtures"])
def test_a_scope_knows_whether_it_has_anything_to_close(name):
    with_part, keeping = opened(), opened()
    assert not with_part.has_anything_to_close()
    setattr(with_part, name, object())
    assert with_part.has_anything_to_close()
    keeping.keep("a", object, lambda _: None)
    assert keeping.has_anything_to_close()
    keeping.close()
    assert not keeping.has_anything_to_close()


def test_an_error_that_is_still_to_be_reported_is_taken_once_or_returned_when_the_scope_closes():
    scope, first, second = opened(), ValueError("first"), ValueError("second")
    scope.tell_later([first])
    scope.tell_later([second])
    assert scope.has_anything_to_close()
    assert scope.take_untold() == [first, second]
    assert scope.take_untold() == []
    assert not scope.has_anything_to_close()
    scope.tell_later([first])
    assert (scope.close(), scope.close()) == ([first], [])


def test_what_is_still_to_be_reported_is_printed_where_ctrl_c_interrupts_the_closing(capsys):
    def close(_):
        raise KeyboardInterrupt

    scope = opened()
    scope.keep("a", object, close)
    scope.keep("b", object, lambda _: [ValueError("boom")])
    with pytest.raises(KeyboardInterrupt):
        scope.close()
    assert capsys.readouterr().err.count("ValueError: boom") == 1
    assert scope.close() == []


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def put(value):
    variable.set(value)
    await asyncio.sleep(0)
    return variable.get(), asyncio.current_task()


def test_a_coroutine_runs_in_a_context_of_its_own_and_in_the_task_that_awaits_it():
    context = contextvars.copy_context()

    async def main():
        return await Within(context, put("inside")), asyncio.current_task(), variable.get(None)

    (value, task), own, around = asyncio.run(main())
    assert (value, around, context[variable]) == ("inside", None, "inside")
    assert task is own


def test_what_is_thrown_at_it_reaches_the_coroutine():
    async def main():
        async with asyncio.timeout(0):
            await Within(contextvars.copy_context(), asyncio.Event().wait())

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_an_error_of_the_coroutine_reaches_who_awaits_it():
    async def fail():
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        asyncio.run(Within(contextvars.copy_context(), fail()))


def test_one_that_is_closed_closes_the_coroutine():
    closed = []

    async def wait():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    within = Within(contextvars.copy_context(), wait())
    within.send(None)
    within.close()
    assert closed == [True]
    assert within.__qualname__.endswith("wait")


def test_changes_are_what_was_set_since_but_not_whose_a_context_is():
    before = values_around()
    context = contextvars.copy_context()
    context.run(variable.set, "new")
    OpenScope(Scope.CLASS, "example", context)
    assert changes(before, context) == {variable: "new"}


def test_what_was_set_in_another_context_is_carried_until_it_is_put_back():
    def carry():
        variable.set("before")
        source = contextvars.copy_context()
        source.run(variable.set, "carried")
        carried = Carried(source)
        seen = [variable.get()]
        carried.put_back()
        carried.put_back()
        return [*seen, variable.get()]

    assert contextvars.copy_context().run(carry) == ["carried", "before"]


# Whose something is.


@pytest.mark.parametrize("scope", Scope)
def test_what_is_made_in_the_context_of_a_scope_is_its_own(scope):
    outer = open_scope(Scope.SESSION)
    inner = open_scope(scope)

    async def main():
        own = [asyncio.create_task(asyncio.sleep(0), context=each.context) for each in (outer, inner)]
        handles = [asyncio.get_running_loop().call_soon(print, context=each.context) for each in (outer, inner)]
        for handle in handles:
            handle.cancel()
        foreign = asyncio.create_task(asyncio.sleep(0), context=contextvars.Context())
        await asyncio.gather(*own, foreign)
        return [owner_of(each) for each in (*own, *handles, foreign)]

    assert asyncio.run(main()) == [outer, inner, outer, inner, None]
    assert inner.context.run(current_owner) is inner
    assert contextvars.Context().run(current_owner) is None


def test_the_context_of_a_task_is_its_own_and_not_that_of_its_callbacks():
    async def main():
        contexts = [contextvars.copy_context() for _ in range(3)]
        task = asyncio.create_task(asyncio.sleep(0), context=contexts[0])
        task.add_done_callback(id, context=contexts[1])
        task.add_done_callback(id, context=contexts[2])
        assert context_of(task) is contexts[0]
        await task

    asyncio.run(main())


def test_what_is_made_in_a_context_that_was_given_away_is_the_new_owners():
    first, second = open_scope(), open_scope()
    context = first.context.run(given_to, second)
    assert context.run(current_owner) is second
    give(context, None)
    assert context.run(current_owner) is None
    assert first.context.run(current_owner) is first


def test_a_context_that_was_given_to_a_scope_is_left_of_it_as_its_own_is():
    scope = open_scope()
    context = given_to(scope)
    assert scope.let_go()
    del context
    assert not scope.is_left
    late = given_to(scope)
    assert scope.is_left
    del late


def test_a_task_that_no_scope_has_made_came_from_outside():
    async def main():
        contexts = [open_scope().context, given_to(None), contextvars.Context()]
        tasks = [asyncio.create_task(asyncio.sleep(0), context=context) for context in contexts]
        await asyncio.gather(*tasks)
        return [came_from_outside(task) for task in tasks]

    assert asyncio.run(main()) == [False, False, True]


def test_the_variable_that_says_whose_a_context_is_is_told_from_others():
    context = contextvars.Context()
    give(context, None)
    context.run(contextvars.ContextVar("another").set, 1)
    assert sorted(map(is_mark, context)) == [False, True]
