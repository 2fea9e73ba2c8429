"""Ctrl-C at lines of asyncunit's own; `tests.promises.interrupted` tries each."""

import random
import sys

import pytest

from tests.promises.interrupted import run


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
@pytest.mark.parametrize(
    ("scope", "runner", "count"), [("class", "unittest", 25), ("function", "unittest", 25), ("class", "pytest", 5)]
)
def test_ctrl_c_leaves_no_tear_down_out_and_is_not_lost(scope, runner, count):
    run(0, scope, runner)  # what is found once only, and kept, is found here
    whole = run(0, scope, runner)
    assert whole.faults == []
    assert whole.lines > 1000
    chosen = random.Random(0)
    tried = [run(chosen.randrange(1, whole.lines + 1), scope, runner) for _ in range(count)]
    assert [came for came in tried if came.faults] == []
    assert all(came.place for came in tried)
