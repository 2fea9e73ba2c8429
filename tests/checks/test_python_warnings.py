import gc
import socket
import sys
import tracemalloc
import warnings

import pytest

from asyncunit.checks import python_warnings as warned
from tests.conftest import fail

BOTH = frozenset({"unawaited_coroutines", "unclosed_resources"})


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        yield
        warned.stop()


def forget():
    fail()
    socket.socket()
    gc.collect()


def test_what_is_looked_for_is_found_and_not_shown():
    warned.listen(BOTH)
    forget()
    found = warned.take()
    assert [finding.check for finding in found] == ["unawaited_coroutines", "unclosed_resources"]
    assert "coroutine 'fail' was never awaited, made at" in found[0].text
    assert found[0].place.filename == __file__
    assert "unclosed <socket.socket" in found[1].text
    assert warned.take() == []


def test_each_time_and_whatever_the_filters_say():
    warnings.simplefilter("error")
    warned.listen(BOTH)
    for _ in range(2):
        forget()
    assert len(warned.take()) == 4


def test_what_is_not_looked_for_is_shown_as_ever():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warned.listen(frozenset({"unawaited_coroutines"}))
        forget()
        warnings.warn("another", UserWarning, stacklevel=1)
    assert [warning.category for warning in shown] == [ResourceWarning, UserWarning]


def test_a_coroutine_is_found_also_where_a_test_catches_warnings_which_sees_it_too():
    warned.listen(BOTH)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        forget()
    assert [warning.category for warning in shown] == [RuntimeWarning, ResourceWarning]
    assert [finding.check for finding in warned.take()] == ["unawaited_coroutines"]


def test_the_private_function_that_the_interpreter_calls_is_there():
    assert callable(warnings._warn_unawaited_coroutine)


def test_where_it_was_made_is_said_as_far_as_tracemalloc_knows():
    warned.listen(BOTH)
    forget()
    assert "-X tracemalloc" in warned.take()[1].text
    tracemalloc.start()
    try:
        forget()
    finally:
        tracemalloc.stop()
    assert f'made at:\n  File "{__file__}"' in warned.take()[1].text


def test_an_equal_filter_of_the_users_keeps_its_place():
    warnings.simplefilter("always", ResourceWarning)
    warnings.simplefilter("ignore", ImportWarning)
    before = list(warnings.filters)
    warned.listen(BOTH)
    warned.stop()
    assert list(warnings.filters) == before


def test_stopping_puts_back_what_was_there():
    before = (warnings.showwarning, list(warnings.filters), sys.get_coroutine_origin_tracking_depth())
    warned.listen(BOTH)
    warned.listen(frozenset())
    warned.stop()
    assert (warnings.showwarning, list(warnings.filters), sys.get_coroutine_origin_tracking_depth()) == before
