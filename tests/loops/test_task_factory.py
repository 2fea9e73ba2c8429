import asyncio
import contextvars

from asyncunit.loops import task_factory
from asyncunit.loops.task_factory import calling_group, groups_of, make_task, parents_of
from tests.conftest import open_scope


def test_a_group_is_found_by_what_a_task_and_a_group_refer_to():
    async def main():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0))
            task.add_done_callback(id)
            assert list(groups_of(task)) == [group]
            assert list(parents_of(group)) == [asyncio.current_task()]

    asyncio.run(main())


def test_a_task_outside_any_group_has_none():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0), context=contextvars.Context())
        assert list(groups_of(task)) == []
        await task

    asyncio.run(main())


def test_the_group_that_starts_a_task_is_seen_by_the_task_factory(monkeypatch):
    seen = []

    # What stands between the group and the function is asyncunit's and asyncio's.
    scope = {"__name__": "asyncunit.example", "calling_group": calling_group, "seen": seen}
    exec("def see(): seen.append(calling_group()); return seen[-1]", scope)
    monkeypatch.setattr(task_factory, "calling_group", scope["see"])

    async def main():
        asyncio.get_running_loop().set_task_factory(make_task)
        await asyncio.create_task(asyncio.sleep(0))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return group

    context = open_scope().context
    with asyncio.Runner() as runner:
        group = runner.run(main(), context=context)
    assert seen == [None, group]


def test_a_group_that_is_written_as_anyios_is_seen_by_way_of_its_cancel_scope():
    names = {"__name__": "anyio._backends._asyncio", "asyncio": asyncio, "calling_group": calling_group}
    source = """
class CancelScope:
    pass

class TaskGroup:
    async def __aenter__(self):
        self.cancel_scope, self.tasks = CancelScope(), {asyncio.ensure_future(asyncio.sleep(0))}
        self.cancel_scope.host_task = asyncio.current_task()
        return self

    async def __aexit__(self, *info):
        await asyncio.gather(*self.tasks)

    def start_soon(self):
        return calling_group()
"""
    exec(source, names)

    async def main():
        async with names["TaskGroup"]() as group:
            assert group.start_soon() is group
            assert list(parents_of(group)) == [asyncio.current_task()]

    asyncio.run(main())
