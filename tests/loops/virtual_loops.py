"""Running a coroutine on a loop with a virtual clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from asyncunit.loops.virtual_clock import virtual_clock_factory

HOUR = 3600.0


def run(coroutine: Coroutine[Any, Any, Any], *, quiet: float | None = None, factory: Any = None) -> Any:
    """What the coroutine returns, run on a new loop with a virtual clock. Tasks that it leaves come to their end."""
    with asyncio.Runner(loop_factory=virtual_clock_factory(factory, quiet)) as runner:
        return runner.run(_to_the_end(coroutine))


async def _to_the_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1e6)
        await asyncio.sleep(0.001)  # transports tell of their end by callbacks


def now() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()
