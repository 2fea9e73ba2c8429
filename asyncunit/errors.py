"""The tree of exceptions and warnings.

AsyncUnitError
├── ConfigurationError (ValueError)   a key or its value is not one that asyncunit knows
├── CutShortError                     a scope was cancelled, and nothing says why, or its code told the process to end
├── DeadlockError                     nothing can wake a step any more, by the virtual clock of its loop
├── DefinitionError (TypeError)       a class, a hook, a fixture or a test is written so that it could not run
├── FixtureNotSetUpError (AttributeError)   a fixture is read where it has no value
├── LeftBehindError                   a test or a wider scope left something behind that its checks found
├── LoopClosedError (RuntimeError)    a test closed the loop that it was given
├── LoopScopeError (RuntimeError)     something needs a loop that lasts longer than the one there is
├── RunningLoopError (RuntimeError)   tests were started inside a loop that already runs
├── TestTimeoutError (TimeoutError)   a step of a test or of a wider scope took longer than its timeout
└── UnfinishedError                   what was left on a loop refused to end

Warning
└── AsyncUnitWarning                  what was left behind, where the checks that found it only warn

Each message says what was found, what was expected, and shows the fix.
"""

from collections.abc import Sequence

__all__ = [
    "AsyncUnitError",
    "AsyncUnitWarning",
    "ConfigurationError",
    "CutShortError",
    "DeadlockError",
    "DefinitionError",
    "FixtureNotSetUpError",
    "LeftBehindError",
    "LoopClosedError",
    "LoopScopeError",
    "RunningLoopError",
    "TestTimeoutError",
    "UnfinishedError",
]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class AsyncUnitError(Exception):
    """The base of what asyncunit raises."""


class ConfigurationError(AsyncUnitError, ValueError):
    """A configuration key, or the value it was given, is not one that asyncunit knows."""


class CutShortError(AsyncUnitError):
    """A scope was cancelled, and no error says why; or code of it raised one that is to end the process.

    The cancellation, or that error, is the ``__cause__``.
    """


class DeadlockError(AsyncUnitError):
    """Nothing can wake a step any more: nothing is ready, there is no timer, and nothing real is going on.

    Only a loop with a virtual clock knows that. The message says what each task waits for, and for whom.
    """


class DefinitionError(AsyncUnitError, TypeError):
    """A class, a hook, a fixture or a test is written in a way in which it could not run."""


class FixtureNotSetUpError(AsyncUnitError, AttributeError):
    """A fixture is read before it is set up, after it is torn down, or by a test that has not asked for it."""


class LeftBehindError(AsyncUnitError):
    """A test or a wider scope left something behind that one of its checks in ``fail_on`` has found.

    What was raised where nobody could catch it is the ``__cause__``, a group where it is more than one.
    """


class LoopClosedError(AsyncUnitError, RuntimeError):
    """The event loop of a scope was closed by a test or a hook that only borrowed it.

    ``is_repeated`` is true of one for a step that could not run because of that, where it has been reported already.
    """

    is_repeated = False


class LoopScopeError(AsyncUnitError, RuntimeError):
    """Something needs an event loop that lasts longer than the one that the class runs on."""


class RunningLoopError(AsyncUnitError, RuntimeError):
    """Tests were started in a thread whose event loop is already running."""


class TestTimeoutError(AsyncUnitError, TimeoutError):
    """A step of a test or of a wider scope took longer than ``timeout`` seconds."""

    __test__ = False  # not a class of tests, for runners that go by the name


class UnfinishedError(AsyncUnitError):
    """Tasks, async generators or executor threads did not end when they were told to."""


class AsyncUnitWarning(Warning):
    """A test or a wider scope left something behind, and ``fail_on`` does not name the check that found it."""


def did_you_mean(word: str, known: list[str]) -> str:
    """The end of a sentence that names the known word nearest to ``word``, if one is near."""
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def raise_all(errors: Sequence[BaseException], what: str) -> None:
    """Raise the error, or all of them as a group that says what was done; nothing where there is none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup(what, errors)
