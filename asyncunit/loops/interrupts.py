"""What Ctrl-C does while tests run: the first cancels what runs on a loop, the second stops at once.

``_signal`` is private. It is asked for each test who handles Ctrl-C. What ``signal`` has first tries to make an enum of
a handler: up to Python 3.11 that takes as long as a tenth of a trivial test, and later it is two more calls.
``tests/loops/test_interrupts.py`` tells when it changes.
"""

from __future__ import annotations

import types
from _signal import getsignal  # type: ignore[import-not-found,unused-ignore]
from signal import SIGINT, default_int_handler, signal
from threading import current_thread, get_ident, main_thread
from typing import ClassVar, Protocol

from asyncunit.introspection.frames import is_in_own_code
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Running(Protocol):
    """What runs on a loop, as far as Ctrl-C, and a crash of something else on the loop, are concerned."""

    cut_by: Scope | None

    def cancel(self) -> bool:
        """Cancel the step that is being run, or keep one from beginning; False where there is none."""

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""


class Interrupt:
    """What Ctrl-C does in the main thread: the first cancels what runs on a loop, the second stops at once.

    It replaces Python's own handler only (unittest's ``-c`` has another, with a meaning of its own), and outside a loop
    it does what that does, but for one case: asyncunit's own code is not left in the middle. Then it ``is_deferred``,
    and raised before the next step of a set-up or a test, or when what unittest or pytest has called is done.

    ``active`` is what runs on a loop, None outside one; ``count``, how often Ctrl-C came in this run; ``is_pending`` is
    true until the step that it cancelled is done, and ``gave_up`` once nothing more is waited for.
    """

    installed: ClassVar[Interrupt | None] = None  # the one of the main thread

    def __init__(self) -> None:
        self.active: Running | None = None
        self.is_deferred = False
        self._thread = get_ident()
        self._reset()

    def _reset(self) -> None:
        """Forget what came in a run; what is deferred is still to be raised."""
        self.count = 0
        self.is_pending = self.gave_up = False

    @classmethod
    def of_this_thread(cls) -> Interrupt:
        """The one of the main thread, installed if it is not; one without effect for another thread."""
        installed = cls.installed
        if installed is None or installed._thread != get_ident():
            if current_thread() is not main_thread():
                return cls()
            installed = cls.installed = installed or cls()
            installed._thread = get_ident()  # another than before, in a child that a thread has forked
        if getsignal(SIGINT) is default_int_handler:
            signal(SIGINT, installed)
        return installed

    @classmethod
    def uninstall(cls) -> None:
        """Put Python's handler back."""
        if current_thread() is main_thread() and cls.installed is not None:
            cls.installed._reset()
            if getsignal(SIGINT) is cls.installed:
                signal(SIGINT, default_int_handler)

    def __call__(self, _signum: int, frame: types.FrameType | None) -> None:
        """Handle the signal."""
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        if self.active is not None and self.active.cancel():
            self.is_pending = True
            self.active.wake()
        elif self.active is not None or is_in_own_code(frame):
            self.is_deferred = True
        else:
            raise KeyboardInterrupt

    @classmethod
    def nothing_more_is_waited_for(cls) -> bool:
        """Whether Ctrl-C came a second time in this thread's run."""
        installed = cls.installed
        return installed is not None and installed.gave_up and current_thread() is main_thread()

    @classmethod
    def raise_left(cls) -> None:
        """Raise KeyboardInterrupt if one came while asyncunit's own code ran in the main thread, which is this one."""
        installed = cls.installed
        if installed is not None and installed.is_deferred and current_thread() is main_thread():
            installed.raise_deferred()

    def raise_deferred(self) -> None:
        """Raise KeyboardInterrupt if one came while asyncunit's own code ran."""
        if self.is_deferred:
            self.is_deferred = False
            raise KeyboardInterrupt
