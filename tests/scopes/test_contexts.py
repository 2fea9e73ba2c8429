import asyncio
import contextvars

import pytest

from asyncunit.scope import Scope
from asyncunit.scopes.contexts import Carried, Within, changes, values_around
from asyncunit.scopes.open_scope import OpenScope

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
