"""Twelve small programs with a race each, of kinds that real projects have had. In asyncio's own order none shows."""

import asyncio
from collections import deque


async def reply():
    """Wait as for a reply: for a future that a callback of the loop resolves."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(lambda: future.done() or future.set_result(None))
    await future


async def replies(count):
    for _ in range(count):
        await reply()


async def after(count, awaitable):
    """Await something after so many replies."""
    await replies(count)
    return await awaitable


async def connected_twice():
    """A client that connects when it is first used, and looks for its connection before it has it."""
    opened = []

    class Client:
        connection = None

        async def ask(self):
            if self.connection is None:
                await reply()  # the name is resolved
                opened.append(object())
                self.connection = opened[-1]
            await reply()

    client = Client()
    await asyncio.gather(client.ask(), after(3, client.ask()))
    assert len(opened) == 1


async def lost_update():
    """Three deposits that read, add and write."""
    account = {"balance": 0}

    async def deposit(amount):
        balance = account["balance"]
        await reply()
        account["balance"] = balance + amount

    await asyncio.gather(deposit(10), after(4, deposit(20)), after(8, deposit(30)))
    assert account["balance"] == 60, account


async def stampede():
    """A cache whose mark that a value is being loaded comes an await too late."""
    values, loading, loads = {}, set(), []

    async def get(key):
        while key in loading:
            await reply()
        if key not in values:
            await reply()  # a counter of misses
            loading.add(key)
            loads.append(key)
            await reply()
            values[key] = key.upper()
            loading.discard(key)
        return values[key]

    await asyncio.gather(get("a"), after(4, get("a")), after(7, get("a")))
    assert loads == ["a"], loads


async def swapped_replies():
    """Replies are matched to requests by their order, and a request is sent before it is put into line."""
    wire, line, answers = asyncio.Queue(), deque(), {}

    async def read(count):
        for _ in range(count):
            answer = await wire.get()
            line.popleft().set_result(answer)

    async def ask(question):
        await reply()
        future = asyncio.get_running_loop().create_future()
        await send(question)
        line.append(future)
        answers[question] = await future

    async def send(question):
        await lock.acquire()
        await reply()
        wire.put_nowait(question)
        lock.release()
        await reply()

    lock = asyncio.Lock()
    reader = asyncio.create_task(after(16, read(2)))
    await asyncio.gather(ask("one"), after(6, ask("two")))
    await reader
    assert answers == {"one": "one", "two": "two"}, answers


async def lost_connection():
    """A pool's connection is lost where a cancellation comes between the pool and the ``try``."""
    free = asyncio.Queue()
    free.put_nowait("connection")

    async def checked_out():
        connection = await free.get()
        await reply()  # is it still open?
        return connection

    async def use():
        connection = await checked_out()
        try:
            await replies(6)
        finally:
            free.put_nowait(connection)

    task = asyncio.create_task(use())

    async def cancel():
        task.cancel()

    await asyncio.gather(after(4, cancel()), task, return_exceptions=True)
    assert free.qsize() == 1


async def closed_twice():
    """close() looks at its flag, and sets it after an await."""
    closes = []

    class Stream:
        is_closed = False

        async def close(self):
            if not self.is_closed:
                await reply()  # what is left is written
                closes.append(self)
                self.is_closed = True

    stream = Stream()
    await asyncio.gather(stream.close(), after(3, stream.close()))
    assert len(closes) == 1


async def woken_for_nothing():
    """A consumer asks ``if`` there is something, where it must ask ``while`` there is nothing."""
    items, changed = [], asyncio.Condition()

    async def consume():
        async with changed:
            if not items:
                await changed.wait()
            items.pop()

    async def produce(item):
        async with changed:
            items.append(item)
            changed.notify()

    await asyncio.gather(consume(), after(2, produce(1)), after(6, consume()), after(9, produce(2)))
    assert not items


async def part_of_a_transfer():
    """A task group cancels a task between two writes that belong together."""
    accounts = {"from": 100, "to": 0}

    async def transfer():
        await reply()
        accounts["from"] -= 10
        await reply()
        accounts["to"] += 10

    async def fail():
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(transfer())
            group.create_task(after(4, fail()))
    except* LookupError:
        pass
    assert sum(accounts.values()) == 100, accounts


async def forgotten_wakeup():
    """A semaphore whose waiter takes its wake-up with it when it is cancelled."""
    waiters, free = deque(), [True]

    async def acquire():
        while not free:
            waiters.append(asyncio.get_running_loop().create_future())
            await waiters[-1]
        free.pop()

    def release():
        free.append(True)
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    async def hold(count):
        await acquire()
        await replies(count)
        release()

    first = asyncio.create_task(hold(4))
    second = asyncio.create_task(after(1, hold(0)))
    third = asyncio.create_task(after(1, hold(0)))

    async def cancel():
        second.cancel()

    await after(9, cancel())
    await asyncio.gather(first, second, return_exceptions=True)
    for _ in range(50):
        await asyncio.sleep(0)
    assert third.done()


async def torn_read():
    """Two values that belong together are read with an await in between, twice: many switches must fall into place."""
    state = {"version": 1, "text": "one"}

    async def write():
        await replies(12)
        state["version"] = 2
        await reply()
        state["text"] = "two"

    async def read():
        version = state["version"]
        await reply()
        return version == 2 and state["text"] == "one"

    async def look():
        await replies(24)
        assert not await read()
        assert not await read()

    await asyncio.gather(write(), look(), *(replies(24) for _ in range(4)))


async def stale_answer():
    """The answer to the older of two questions comes last and is shown: only timers that are late show it."""
    shown = []

    async def search(text):
        await asyncio.sleep(0.05)
        shown.append(text)

    older = asyncio.create_task(search("a"))
    await asyncio.sleep(0.01)
    await asyncio.gather(older, search("ab"))
    assert shown[-1] == "ab"


async def used_before_it_started():
    """``sleep(0)`` is taken to mean that a task has begun: fair yields keep this promise, so it is never found."""
    started = []

    async def serve():
        started.append(True)
        await reply()

    server = asyncio.create_task(serve())
    await asyncio.sleep(0)
    assert started
    await server


RACES = [
    connected_twice,
    lost_update,
    stampede,
    swapped_replies,
    lost_connection,
    closed_twice,
    woken_for_nothing,
    part_of_a_transfer,
    forgotten_wakeup,
    torn_read,
    stale_answer,
    used_before_it_started,
]
