"""What pytest's ``--pdb`` and ``--trace`` need of async tests. Nothing here imports pytest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncunit.errors import raise_all
from asyncunit.introspection.functions import is_async_function

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def postpone(item: Any) -> None:
    """Have what is left after a test case run when pytest leaves it: in the debugger all is as the test left it.

    pytest sees to that itself, but with the tearDown of sync tests alone, and later than what that needs.
    """
    case = item.instance
    written, case.tearDown = case.tearDown, lambda: None
    case._asyncunit_is_postponed = True

    def finish() -> None:
        case.tearDown = written
        raise_all(case._asyncunit_finish(), f"tearing down {item.nodeid}")

    item.addfinalizer(finish)


def stopping(function: Any, stop: Callable[[], object]) -> Any:
    """What stops in the debugger when an async test begins; a sync one is called as pytest has it called.

    pytest calls the test itself in the debugger, and drops the coroutine that an async one returns.
    """
    written = getattr(function, "__wrapped__", function)
    if not is_async_function(written):
        return function

    async def stop_and_call(**arguments: Any) -> Any:
        test = written(**arguments)
        stop()
        return await test  # step into it with s

    return stop_and_call
