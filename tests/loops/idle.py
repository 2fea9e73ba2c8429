"""A loop for tests, on which time passes only while nothing is ready, and where waiting for ever is an error."""

import asyncio
import selectors


class IdleError(Exception):
    """Nothing is ready and no timer is set."""


class IdleSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout=None):
        events = super().select(0)
        if not events:
            if timeout is None:
                raise IdleError
            self.now += max(timeout, 0)
        return events


class IdleLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.idle_selector = IdleSelector()
        super().__init__(self.idle_selector)

    def time(self):
        return self.idle_selector.now
