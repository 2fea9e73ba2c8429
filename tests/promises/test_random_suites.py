"""One suite has one verdict and one order of hooks and fixtures under each runner; more seeds are tried by hand."""

import pytest

from tests.promises.random_suites import Outcome, compare, differences

# Each has something that another one has not: packages, params, overrides, what fails, skips and is cancelled.
SEEDS = [5, 19, 37]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_suite_does_the_same_under_three_runners(tmp_path, seed):
    assert compare(seed, tmp_path) == []


def outcome(verdicts=(), errors=(), events=()):
    return Outcome(dict(verdicts), set(errors), list(events), "")


def test_what_differs_is_said():
    one = outcome({"m.TestA.test_a": "ok", "m.TestB": "skip"}, {"x"}, ["up", "down"])
    other = outcome({"m.TestA.test_a": "fail", "m.TestB.test_b": "skip"}, {"y"}, ["up", "test", "down"])
    verdict, errors, order = differences(one, other)
    assert verdict == "verdict of m.TestA.test_a: ok, fail"
    assert errors == "errors: ['x'], ['y']"
    assert order == "order at 1:\n    ['up', 'down']\n    ['up', 'test', 'down']"
    assert differences(one, one) == []
