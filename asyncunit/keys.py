"""The words of the configuration: its keys, as pytest's help explains them, the checks, the names of the markers.

Each run of pytest imports this, so it imports next to nothing.
"""

import enum

__all__ = ["CHECKS", "KEYS", "MARKER", "MEANINGS", "MODES", "PEER_MARKER", "SETTINGS", "Check"]

# The names of the markers, which are those of the plugins, too: ours, and pytest-asyncio's.
MARKER = "asyncunit"
PEER_MARKER = "asyncio"

MODES = ("strict", "auto")


class Check(enum.StrEnum):
    """What can be looked for when a test or a wider scope ends, by the names that users write."""

    UNHANDLED_ERRORS = enum.auto()
    LEAKED_TASKS = enum.auto()
    UNAWAITED_COROUTINES = enum.auto()
    UNCLOSED_RESOURCES = enum.auto()
    SLOW_CALLBACKS = enum.auto()

    def __repr__(self) -> str:
        return repr(self.value)  # as a message shows what was written


CHECKS = tuple(Check)

# What each key means, in a line of help.
MEANINGS = {
    "background_tasks": "patterns (pymongo.*) of the coroutines whose tasks live as long as their loop",
    "fail_on": f"the checks that fail a test instead of warning: all, or some of {', '.join(CHECKS)}",
    "loop_debug": "asyncio's debug mode",
    "loop_factories": "several loop factories by name, each test once with each: name=package.module:callable",
    "loop_factory": "what makes the event loops: package.module:callable",
    "loop_scope": "the least loop scope where none is named: function, class, module, package or session",
    "mode": "auto takes every async test function; strict (default) those that are marked",
    "timeout": "seconds for each step apart: a fixture's half, a hook, the test, a cleanup",
}
KEYS = tuple(MEANINGS)

# What can be said of a single test, class or module; the others are for the whole run.
SETTINGS = tuple(key for key in KEYS if key != "mode")
