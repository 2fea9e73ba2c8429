"""An item of pytest under several schedules: set up, called and torn down for each, with one verdict.

call_and_report() of ``_pytest.runner`` is what pytest runs the phases of an item by. ``_initrequest()``, ``_request``
and ``funcargs`` are what it does around them, and the session's ``_setupstate`` tears down: no public way runs an
item again. ``_report_sections`` is what the item has printed, and ``addSubTest`` what unittest tells it of a subtest.
``tests/promises/test_schedules.py`` tells when they change.
"""

from __future__ import annotations

import copy
import functools
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import call_and_report

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt

__tracebackhide__ = True


class Schedules:
    """Runs items under schedules. ``follow`` is told of the one that an item follows from now on; None is none."""

    def __init__(self, follow: Callable[[Attempt | None], object]) -> None:
        self._follow = follow

    def run(self, item: pytest.Item, nextitem: pytest.Item | None, attempts: Sequence[Attempt]) -> None:
        """Run an item under each schedule until it does not pass; report that, or the first."""
        hooks = item.ihook
        hooks.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports: list[pytest.TestReport] = []
        for attempt in attempts:
            is_last = attempt is attempts[-1]
            found = self._run_once(item, nextitem, attempt, is_last=is_last)
            if not reports or not _has_passed(found):
                reports = found
            if not _has_passed(found):
                if attempt.number or attempt.is_alone:
                    _explain(found, attempt, attempt.note(f"python -m pytest {shlex.quote(item.nodeid)}"))
                break
        for report in reports:
            hooks.pytest_runtest_logreport(report=report)
        hooks.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _run_once(
        self, item: Any, nextitem: pytest.Item | None, attempt: Attempt, *, is_last: bool
    ) -> list[pytest.TestReport]:
        self._follow(attempt)
        sections = getattr(item, "_report_sections", None)
        if sections is not None:  # what was printed under another schedule
            sections.clear()
        if attempt.number and not attempt.is_alone and hasattr(item, "addSubTest"):
            item.addSubTest = functools.partial(_add_failed_subtest, item.addSubTest)
        try:
            return self._phases(item, nextitem, is_last=is_last)
        finally:
            vars(item).pop("addSubTest", None)
            self._follow(None)
            attempt.write_timeline()

    def _phases(self, item: Any, nextitem: pytest.Item | None, *, is_last: bool) -> list[pytest.TestReport]:
        """What runtestprotocol() does; but what is wider than the item stays until its last schedule is over."""
        if getattr(item, "_request", None) is False:
            item._initrequest()
        reports = [call_and_report(item, "setup", log=False)]
        if reports[0].passed and not item.config.getoption("setuponly", False):
            reports.append(call_and_report(item, "call", log=False))
        is_stopping = bool(item.session.shouldfail or item.session.shouldstop)
        is_last = is_last or is_stopping or not _has_passed(reports)
        # The next item to run is one that is beside this one, or the next indeed.
        following = None if is_stopping else nextitem if is_last else copy.copy(item)
        reports.append(call_and_report(item, "teardown", log=False, nextitem=following))
        if not is_last and not _has_passed(reports):
            reports += _leave_wider(item, nextitem)
        if hasattr(item, "_request"):
            item._request = False
            item.funcargs = None
        return reports


def _explain(reports: list[pytest.TestReport], attempt: Attempt, note: str) -> None:
    """Have a report say under which schedule its test has failed."""
    for report in reports:
        if report.outcome == "failed":
            longrepr: Any = report.longrepr
            if hasattr(longrepr, "addsection"):
                longrepr.addsection(f"schedule {attempt.number}", note)
            else:
                report.sections.append((f"schedule {attempt.number}", note))


def _add_failed_subtest(add: Callable[..., object], test_case: Any, test: Any, exc_info: Any) -> None:
    """Tell of a subtest that has failed; those that passed are told of once, under the first schedule."""
    if exc_info is not None:
        add(test_case, test, exc_info)


def _leave_wider(item: Any, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Tear down what the next item does not need, after an item whose own tear-down has failed."""
    call = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown")
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return [] if report.passed else [report]


def _has_passed(reports: list[pytest.TestReport]) -> bool:
    return all(report.outcome == "passed" and not hasattr(report, "wasxfail") for report in reports)
