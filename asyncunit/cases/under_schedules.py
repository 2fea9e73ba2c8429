"""A test case under several schedules, as unittest runs it: once for each, with one verdict."""

from __future__ import annotations

import shlex
import unittest
from collections.abc import Callable
from typing import Any

from asyncunit.cases.run import HeldResult
from asyncunit.lifecycle.hooks import ClassScope
from asyncunit.loops.attempts import Attempt, attempts_of
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def attempts_for(case: unittest.TestCase, class_scope: ClassScope) -> list[Attempt] | None:
    """The schedules to run a test case under; None where it is run as ever, or by a runner that sees to this."""
    if class_scope.run.sees_to_schedules:
        return None
    config = class_scope.configs.get(case._testMethodName, class_scope.choice.configs[0])
    if not config.explores:
        return None
    if class_scope.choice.scope is not Scope.FUNCTION:
        if config.schedules > 1 or config.schedule is not None:
            class_scope.run.count_one_that_ran_once()
        return None
    return attempts_of(config)


def run_under(
    attempts: list[Attempt],
    case: Any,
    result: unittest.TestResult,
    run: Callable[[unittest.TestResult], object],
) -> None:
    """Run a test under each schedule until it fails under one, and report what came of that, or of the first."""
    before = dict(vars(case))
    first = None
    result.startTest(case)
    try:
        for attempt in attempts:
            vars(case).clear()
            vars(case).update(before)
            held: Any = HeldResult(result)
            case._asyncunit_attempt = attempt
            try:
                run(held)
            finally:
                attempt.write_timeline()
            first = first or held
            if not held.has_passed:
                if attempt.number or attempt.is_alone:
                    held.add_note(attempt.note(f"python -m unittest {shlex.quote(case.id())}"))
                first = held
                break
            if result.shouldStop:
                break
        if first is not None:
            first.report()
    finally:
        case._asyncunit_attempt = None
        result.stopTest(case)
