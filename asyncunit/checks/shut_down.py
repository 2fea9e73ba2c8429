"""A loop of which a part was shut down before its time: its default executor, its async generators.

No loop says so, nor can it be undone. So it is noted as it happens, with whose doing it was; then the loop is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from asyncunit.introspection.frames import Place, caller
from asyncunit.scopes.contexts import current_owner
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_PARTS = {"shutdown_default_executor": "default executor", "shutdown_asyncgens": "async generators"}


class PartsOfLoop:
    """Tells ``tell`` what is shut down of a loop, and whose doing that is.

    ``executor`` is the default executor that the loop was given; None while it has its own. A loop whose methods cannot
    be replaced is left alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[OpenScope, str, Place | None], None]) -> None:
        self.executor: Any = None
        self._tell = tell
        reference = weakref.ref(loop)  # for a cycle would be much to collect, with each loop
        methods: dict[str, Any] = {"set_default_executor": self._setting(reference)}
        for name, what in _PARTS.items():
            methods[name] = self._shutting_down(reference, name, what)
        with contextlib.suppress(AttributeError):  # a loop whose attributes nobody can set
            for name, method in methods.items():
                setattr(loop, name, method)

    def put_back(self, loop: asyncio.AbstractEventLoop, executor: Any) -> None:
        """Give the loop that default executor again; in the place of its own it has a new one, which is the same."""
        if self.executor is not executor:
            from concurrent.futures import ThreadPoolExecutor  # which takes time to import, and is seldom needed

            loop.set_default_executor(executor or ThreadPoolExecutor(thread_name_prefix="asyncio"))
            self.executor = executor

    def _shutting_down(
        self, reference: weakref.ref[asyncio.AbstractEventLoop], name: str, what: str
    ) -> Callable[..., Coroutine[Any, Any, None]]:
        async def shut_down(*args: Any, **kwargs: Any) -> None:
            loop, owner = reference(), current_owner()
            if loop is None:
                return
            if owner is not None:
                place = caller()
                text = f"the {what} of an event loop that others share, shut down"
                text += f" at {place}" if place else ""
                self._tell(owner, text, place)
            await getattr(type(loop), name)(loop, *args, **kwargs)

        return shut_down

    def _setting(self, reference: weakref.ref[asyncio.AbstractEventLoop]) -> Callable[[Any], None]:
        def set_default_executor(executor: Any) -> None:
            if (loop := reference()) is not None:
                type(loop).set_default_executor(loop, executor)
                self.executor = executor

        return set_default_executor
