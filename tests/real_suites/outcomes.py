"""What came of the tests of a suite, read from what a child process wrote, and what differs between two runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

STARTED = "started and never ended"
ABSENT = "not run"


class Outcome(NamedTuple):
    """What came of one test: a word, and the last line of the error (or the reason of a skip)."""

    word: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.detail}" if self.detail else self.word


class Difference(NamedTuple):
    """A test whose word is not the one of the first run."""

    test: str
    before: Outcome
    after: Outcome


def read_outcomes(lines: Iterable[str]) -> dict[str, Outcome]:
    """Reads lines of JSON, each a list of a test's id, a word and a detail.

    A test may have several lines: that it started, an error of its subtest, an error of its tear-down. The first word
    that is not a pass is the one that counts; one that only started is in the outcomes as such.
    """
    found: dict[str, Outcome] = {}
    for line in lines:
        test, word, detail = json.loads(line)
        if found.get(test, Outcome(STARTED)).word in (STARTED, "passed"):
            found[test] = Outcome(word, detail)
    return found


def read_junit(text: str) -> dict[str, Outcome]:
    """Reads what pytest writes with --junit-xml. A test may have several cases: the first that is no pass counts."""
    found: dict[str, Outcome] = {}
    for case in ET.fromstring(text).iter("testcase"):
        test = f"{case.get('classname')}.{case.get('name')}"
        outcome = _outcome_of(case)
        if found.get(test, Outcome("passed")).word == "passed":
            found[test] = outcome
    return found


def _outcome_of(case: ET.Element) -> Outcome:
    for tag, word in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        if (element := case.find(tag)) is not None:
            return Outcome(word, (element.get("message") or "").partition("\n")[0])
    return Outcome("passed")


def compare(before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> list[Difference]:
    """The tests whose word differs, sorted by id; a test that only one of the runs knows is among them."""
    pairs = ((test, before.get(test, Outcome(ABSENT)), after.get(test, Outcome(ABSENT))) for test in {*before, *after})
    return sorted(Difference(*pair) for pair in pairs if pair[1].word != pair[2].word)


def told(runs: Mapping[str, Iterable[Difference]]) -> Iterator[str]:
    """Lines for people. What differs alike in several runs is told once; tests that did not run are counted."""
    together: dict[tuple[str, str, str], list[tuple[str, Difference]]] = {}
    for run, differences in runs.items():
        not_run = 0
        for difference in differences:
            if difference.after.word == ABSENT:
                not_run += 1
            else:
                words = (difference.test, difference.before.word, difference.after.word)
                together.setdefault(words, []).append((run, difference))
        if not_run:
            yield f"[{run}] {not_run} tests did not run"
    for alike in together.values():
        _, first = alike[0]
        yield f"[{', '.join(run for run, _ in alike)}] {first.test}"
        yield f"    before: {first.before}"
        yield f"    after:  {first.after}"


def counted(outcomes: Mapping[str, Outcome]) -> str:
    """The number of tests, and how many of them have which word."""
    words = [outcome.word for outcome in outcomes.values()]
    parts = (f"{words.count(word)} {word}" for word in sorted(set(words)))
    return f"{len(words)} tests: {', '.join(parts)}" if words else "no tests"
