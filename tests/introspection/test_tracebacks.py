import dataclasses
import traceback
import unittest
from pathlib import Path

import pytest

import asyncunit
from asyncunit.introspection.frames import Place
from asyncunit.introspection.tracebacks import (
    print_all,
    printing_at_interrupt,
    report_on_stderr,
    stand_at,
    trim,
    without_loader,
)
from tests.conftest import fail


def lines(error):
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]


def raised(scope, awaitable):
    try:
        scope.run(awaitable)
    except BaseException as error:
        BaseException.with_traceback(error, error.__traceback__.tb_next)  # without the line of this function
        return error


def test_a_traceback_begins_at_the_first_line_that_is_not_ours(scope):
    error = raised(scope, fail())
    assert lines(error)[0] == "run"
    assert trim(error) is error
    assert lines(error) == ["fail"]


def test_those_behind_it_and_the_members_of_groups_too(scope):
    cause, context, member = (raised(scope, fail()) for _ in range(3))
    error = ExceptionGroup("several", [member])
    error.__cause__, member.__context__ = cause, context
    trim(error)
    assert [lines(other) for other in (cause, context, member)] == [["fail"]] * 3


def test_an_error_that_lets_nobody_set_an_attribute_is_trimmed_all_the_same(scope):
    @dataclasses.dataclass(frozen=True)
    class NotFoundError(Exception):
        key: str

    async def find():
        raise NotFoundError("key")

    error = raised(scope, find())
    assert type(error) is NotFoundError
    assert lines(trim(error)) == ["find"]


def test_an_error_can_be_given_a_line_of_the_users():
    error = stand_at(Place(__file__, 3, "Test.test_x"), ValueError("boom"))
    [(frame, line)] = traceback.walk_tb(error.__traceback__)
    assert (frame.f_code.co_filename, line, frame.f_code.co_name) == (__file__, 3, "test_x")
    assert stand_at(None, error) is error


def test_errors_that_refer_to_each_other_are_no_trap():
    one, other = ValueError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert trim(one) is one


# What has no report.


def test_an_error_is_printed_with_the_scope_that_closed(capsys):
    report_on_stderr("class example", ValueError("boom"))
    assert capsys.readouterr().err == "asyncunit: error while the scope 'class example' closed:\nValueError: boom\n"


def test_errors_that_were_collected_are_printed_at_ctrl_c_and_only_then(capsys):
    errors = []
    with pytest.raises(KeyboardInterrupt), printing_at_interrupt("class example", errors):
        errors.append(ValueError("boom"))
        raise KeyboardInterrupt
    assert "ValueError: boom" in capsys.readouterr().err
    with pytest.raises(KeyError), printing_at_interrupt("class example", errors):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_all_of_several_are_printed(capsys):
    print_all("session", [ValueError("a"), ValueError("b")])
    assert capsys.readouterr().err.count("ValueError") == 2


LOADED = """\
Failed to import test module: test_x
Traceback (most recent call last):
  File "{unittest}/loader.py", line 419, in _find_test_path
    module = self._get_module_from_name(name)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/user/test_x.py", line 4, in <module>
    class Test(asyncunit.AsyncTestCase):
  File "{asyncunit}/cases/case.py", line 128, in __init_subclass__
    raise error
asyncunit.errors.DefinitionError: it is wrong.
  - in this way
"""


def test_the_text_of_what_could_not_be_loaded_begins_at_the_users_line():
    text = LOADED.format(unittest=Path(unittest.__file__).parent, asyncunit=Path(asyncunit.__file__).parent)
    assert without_loader(text) == (
        "Failed to import test module: test_x\n"
        "Traceback (most recent call last):\n"
        '  File "/home/user/test_x.py", line 4, in <module>\n'
        "    class Test(asyncunit.AsyncTestCase):\n"
        "asyncunit.errors.DefinitionError: it is wrong.\n"
        "  - in this way\n"
    )
