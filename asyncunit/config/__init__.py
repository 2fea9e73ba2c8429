"""What is configured, wherever it is written; the keys, as pytest's help explains them, and the names of markers."""

# The names of the markers, which are those of the plugins, too: ours, and pytest-asyncio's.
MARKER = "asyncunit"
ASYNCIO_MARKER = "asyncio"

MODES = ("strict", "auto")
CLOCKS = ("real", "virtual")

# What each key means, in a line of help.
MEANINGS = {
    "background_tasks": "patterns (pymongo.*) of the coroutines whose tasks may stay until their loop closes",
    "clock": "the clock of the loops: real (default), or virtual, which jumps to the next timer when nothing else can "
    "happen",
    "clock_quiet": "what is outside the loop no longer holds a virtual clock after so many seconds of silence",
    "fail_on": "the checks that fail a test instead of warning: all (but slow_callbacks), or some of unhandled_errors, "
    "leaked_tasks, unawaited_coroutines, unclosed_resources, left_callbacks, left_threads, slow_callbacks",
    "late_timers": "under a schedule, timers are late by up to this part of their delay",
    "left_open": "patterns (asyncpg.*) of the functions that may leave something open, a thread or a callback",
    "loop_debug": "asyncio's debug mode",
    "loop_factories": "several loop factories by name, each test once with each: name=package.module:callable",
    "loop_factory": "what makes the event loops: package.module:callable",
    "loop_scope": "the least loop scope where none is named: function, class, module, package or session",
    "mode": "auto takes every async test function; strict (default) those that are marked",
    "schedules": "how many orders of its tasks a test with its own loop is run under",
    "timeout": "seconds for each step: a hook, the test, a cleanup, the set-up or tear-down of a fixture",
}
KEYS = tuple(MEANINGS)

# What is for one run, and is said in the environment alone: the one schedule to run, and where to write its timeline.
VARIABLES = ("schedule", "trace")

# What can be said of a single test, class or module; the others are for the whole run.
SETTINGS = tuple(key for key in KEYS if key != "mode")
