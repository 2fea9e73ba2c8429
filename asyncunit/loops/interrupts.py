"""What Ctrl-C does while tests run: the first cancels what runs on a loop, the second stops at once."""

from __future__ import annotations

import signal
import threading
import types
from typing import Protocol

from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Running(Protocol):
    """What runs on a loop, as far as Ctrl-C, and a crash of something else on the loop, are concerned."""

    cut_by: Scope | None

    def cancel(self) -> None:
        """Cancel the job that is being run."""

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""


class Interrupt:
    """What Ctrl-C does in the main thread: the first cancels what runs on a loop, the second stops at once.

    It replaces Python's own handler only (unittest's ``-c`` has another, with a meaning of its own), and outside a loop
    it does what that does. ``active`` is what runs on a loop, None outside one; ``count``, how often Ctrl-C came
    in this run; ``is_pending`` is true until the job that it cancelled is done, and ``gave_up`` once
    nothing more is waited for.
    """

    _installed: Interrupt | None = None  # the one of the main thread

    def __init__(self) -> None:
        self.active: Running | None = None
        self.count = 0
        self.is_pending = False
        self.gave_up = False

    @classmethod
    def of_this_thread(cls) -> Interrupt:
        """The one of the main thread, installed if it is not; one without effect for another thread."""
        if threading.current_thread() is not threading.main_thread():
            return cls()
        if cls._installed is None:
            cls._installed = cls()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, cls._installed)
        return cls._installed

    @classmethod
    def uninstall(cls) -> None:
        """Put Python's handler back."""
        if threading.current_thread() is threading.main_thread() and cls._installed is not None:
            cls._installed.count = 0
            cls._installed.is_pending = cls._installed.gave_up = False
            if signal.getsignal(signal.SIGINT) is cls._installed:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self, _signum: int, _frame: types.FrameType | None) -> None:
        """Handle the signal."""
        self.count += 1
        if self.active is None or self.count > 1:
            raise KeyboardInterrupt
        self.is_pending = True
        self.active.cancel()
        self.active.wake()
