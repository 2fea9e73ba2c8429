import pytest

from tests.pytest_plugin.running import outcomes

PLANNED = """
class TestCase(asyncunit.AsyncTestCase):
    async def test_case(self): raise ValueError("it ran")
"""


def test_the_plan_is_drawn_and_nothing_is_run(run):
    result = run(PLANNED, "--asyncunit-plan")
    result.stdout.fnmatch_lines(["*class TestCase  on a loop for each test (by default)", "*test_case"])
    assert (result.ret, outcomes(result)) == (pytest.ExitCode.OK, {})


def test_the_plan_ends_with_1_where_something_is_wrong_with_a_test(run):
    text = f'{PLANNED}    loop_scope = "class"\n\nasync def asyncSetUpModule(): ...\n'
    result = run(text, "--asyncunit-plan")
    result.stdout.fnmatch_lines("*has loop_scope = *, but *asyncSetUpModule needs a loop that lasts for the module*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
