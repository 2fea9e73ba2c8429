import traceback

from asyncunit.tracebacks import trim
from tests.conftest import fail


def lines(error):
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]


def raised(scope, awaitable):
    try:
        scope.run(awaitable)
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next  # this function's own line
        return error


def test_a_traceback_begins_at_the_first_line_that_is_not_ours(scope):
    error = raised(scope, fail())
    assert "_serve" in lines(error)
    assert trim(error) is error
    assert lines(error) == ["fail"]


def test_those_behind_it_and_the_members_of_groups_too(scope):
    cause, context, member = (raised(scope, fail()) for _ in range(3))
    error = ExceptionGroup("several", [member])
    error.__cause__, member.__context__ = cause, context
    trim(error)
    assert [lines(other) for other in (cause, context, member)] == [["fail"]] * 3


def test_errors_that_refer_to_each_other_are_no_trap():
    one, other = ValueError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert trim(one) is one
