import textwrap

import pytest

from tests.pytest_plugin.running import in_a_process, outcomes

CASE = """
    class TestX(asyncunit.AsyncTestCase):
        @asyncunit.fixture(autouse=True)
        async def fixture(self):
            yield
            {of_fixture}

        async def asyncTearDown(self):
            {of_hook}

        @classmethod
        async def asyncTearDownClass(cls):
            {of_class}

        async def test_x(self):
            {of_test}
"""


@pytest.fixture
def run_case(run):
    def run_case(of_test="pass", of_hook="pass", of_fixture="pass", of_class="pass", **files):
        text = CASE.format(of_test=of_test, of_hook=of_hook, of_fixture=of_fixture, of_class=of_class)
        return run(text, **files)

    return run_case


def raising(what):
    return f"raise ValueError('boom: {what}')"


def shown(result):
    """The errors that are shown, in the order of the alphabet."""
    lines = (line for line in result.outlines if not line.startswith(("FAILED", "ERROR")))
    return sorted(line.partition("Error: boom: ")[2] for line in lines if "Error: boom: " in line)


def test_all_errors_of_a_test_case_are_shown_in_their_order(run_case):
    result = run_case(raising("test"), raising("hook"), raising("fixture"))
    assert shown(result) == ["fixture", "hook", "test"]
    assert outcomes(result) == {"failed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["*ValueError: boom: hook", "*ValueError: boom: fixture"])


def test_what_its_class_raises_is_shown_beside_the_second_error_of_its_last_test(run_case):
    result = run_case(raising("test"), raising("hook"), of_class=raising("class"))
    assert shown(result) == ["class", "hook", "test"]
    assert outcomes(result) == {"failed": 1, "errors": 1}


def test_what_its_class_raises_is_shown_where_its_last_test_is_skipped_and_then_fails(run_case):
    result = run_case("raise unittest.SkipTest('why')", of_fixture=raising("fixture"), of_class=raising("class"))
    assert shown(result) == ["class", "fixture"]
    assert outcomes(result) == {"skipped": 1, "errors": 1}


def test_a_failed_assertion_after_an_error_is_shown_too(run_case):
    result = run_case(raising("test"), "self.fail('boom: hook')", raising("fixture"))
    assert shown(result) == ["fixture", "hook", "test"]


def test_one_error_is_the_verdict_of_the_test(run_case):
    assert outcomes(run_case(of_hook=raising("hook"))) == {"failed": 1}


def test_the_run_ends_where_a_tear_down_says_so_after_an_error(pytester):
    text = CASE.format(
        of_test=raising("test"), of_hook=raising("hook"), of_fixture="pytest.exit('enough')", of_class="pass"
    )
    path = pytester.makepyfile("import asyncunit\nimport pytest\n" + textwrap.dedent(text))
    process = in_a_process(pytester, path)
    assert "Exit: enough" in process.communicate()[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED


def test_an_item_is_as_before_once_its_test_case_is_done(run_case):
    conftest = """
        def pytest_sessionfinish(session):
            [item] = session.items
            assert not {"addError", "addFailure"} & set(vars(item))
    """
    assert outcomes(run_case(conftest=textwrap.dedent(conftest))) == {"passed": 1}


def test_a_test_case_that_is_run_once_more_has_its_errors_once_more(run_case):
    conftest = """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for log in (False, True):
                item._initrequest()
                runtestprotocol(item, nextitem=nextitem, log=log)
            return True
    """
    result = run_case(raising("test"), raising("hook"), raising("fixture"), conftest=textwrap.dedent(conftest))
    assert shown(result) == ["fixture", "hook", "test"]
