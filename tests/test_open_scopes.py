import asyncio
import contextvars
import gc

import pytest

from asyncunit import Scope
from asyncunit.config import Config
from asyncunit.open_scopes import OpenScope, context_of, current_owner, owner_of


def opened(scope=Scope.CLASS, key="example", within=None):
    context = contextvars.copy_context() if within is None else within.context.copy()
    return OpenScope(scope, key, context, within)


@pytest.mark.parametrize("scope", Scope)
def test_what_is_made_in_the_context_of_a_scope_is_its_own(scope):
    outer = opened(Scope.SESSION, None)
    inner = opened(scope, "example", outer)

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
    assert not with_part.has_anything_to_close
    setattr(with_part, name, object())
    assert with_part.has_anything_to_close
    keeping.keep("a", object, lambda _: None)
    assert keeping.has_anything_to_close
    keeping.close()
    assert not keeping.has_anything_to_close
