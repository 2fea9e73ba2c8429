import asyncio
import contextvars

import pytest

from asyncunit import Scope
from asyncunit.scopes.contexts import came_from_outside, context_of, current_owner, give, given_to, is_mark, owner_of
from tests.conftest import open_scope


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
