import sys
import threading
from contextlib import contextmanager

import pytest

from asyncunit.introspection.frames import debugger_is_attached, stands_in_debugger


@contextmanager
def traced_by(module):
    """Have this thread be traced by a function that is of that module, as long as the block lasts."""

    class Tracer:
        __module__ = module

        def __call__(self, frame, event, argument):
            return None

    before = sys.gettrace()
    sys.settrace(Tracer())
    try:
        yield
    finally:
        sys.settrace(before)


def run_in(module, function):
    """Call the function from one that is of that module."""
    names = {"__name__": module}
    exec("def interaction(function): return function()", names)
    return names["interaction"](function)


@pytest.mark.parametrize("module", ["bdb", "pydevd", "_pydevd_bundle.pydevd_trace_dispatch", "debugpy.server"])
def test_a_debugger_that_traces_the_thread_is_attached(module):
    with traced_by(module):
        assert debugger_is_attached()


def test_whatever_else_traces_a_thread_is_none():
    assert not debugger_is_attached()
    with traced_by("coverage.pytracer"):
        assert not debugger_is_attached()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in Python 3.12")
def test_one_that_has_registered_itself_is_attached():
    sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "debugger")
    try:
        assert debugger_is_attached()
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)


def test_a_thread_stands_in_a_debugger_that_has_called_it():
    def look():
        return stands_in_debugger(threading.get_ident())

    assert run_in("pdb", look)
    assert not run_in("pdbpp_like", look)
    assert not look()
