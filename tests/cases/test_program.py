import json

import pytest

import asyncunit
from tests.support import ROOT, python, write

SUITE = """
import asyncio
import unittest
import asyncunit


@asyncunit.fixture(scope="module")
async def loop():
    return asyncio.get_running_loop()


async def test_one(loop):
    assert loop is asyncio.get_running_loop()


class Plain(unittest.TestCase):
    async def test_two(self):
        self.fail("it ran")


if __name__ == "__main__":
    asyncunit.main()
"""


WRONG = """
import asyncunit

class Base(asyncunit.AsyncTestCase):
    @asyncunit.fixture(scope="session")
    async def port(cls): ...

class Test(Base):
    loop_scope = "class"
    async def test_x(self): ...
"""

MANY = """
from unittest import mock
import asyncunit

class Test(asyncunit.AsyncTestCase):
    @asyncunit.fixture
    def pool(self): ...

    @asyncunit.parametrize("a", [1.5, 2])
    async def test_x(self, a, pool): ...

    @mock.patch("os.getcwd")
    async def test_patched(self, getcwd): ...

    async def test_with_default(self, *, number=1): ...

    async def test_wrong(self, pol): ...
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def test_it_takes_what_unittest_takes_and_runs_functions_in_auto_mode(suite):
    (suite / "setup.cfg").write_text("[asyncunit]\nmode = auto\n")
    for args in ([], ["discover", "-v"], ["-v", "test_suite"], ["-v", "test_suite.py"]):
        result = python("-m", "asyncunit", *args, cwd=suite)
        assert "AssertionError: it ran" in result.stderr
        assert "Ran 2 tests" in result.stderr
        assert result.returncode == 1
    result = python("-m", "asyncunit", "-v", "test_suite.test_one", cwd=suite)
    assert "test_one (test_suite.test_one) ... ok" in result.stderr
    assert result.returncode == 0


def test_in_strict_mode_what_would_pass_without_running_is_an_error(suite):
    result = python("-m", "asyncunit", cwd=suite)
    assert "Write asyncunit.AsyncTestCase as the base of Plain" in result.stderr
    assert "Ran 1 test" in result.stderr


def test_a_mistake_in_the_configuration_is_said_in_one_line_and_ends_the_program(suite):
    (suite / "setup.cfg").write_text("[asyncunit]\ntiemout = 3\n")
    for args in (["-m", "asyncunit"], ["-m", "asyncunit", "plan", "test_suite"], ["test_suite.py"]):
        result = python(*args, cwd=suite)
        [line] = result.stderr.splitlines()
        assert ": error: " in line
        assert line.endswith("Did you mean 'timeout'?")
        assert (result.returncode, result.stdout) == (2, "")


def test_a_program_that_is_not_to_exit_raises_a_mistake_in_the_configuration(suite):
    (suite / "setup.cfg").write_text("[asyncunit]\ntiemout = 3\n")
    result = python("-c", "import asyncunit; asyncunit.main('test_suite', argv=['x'], exit=False)", cwd=suite)
    assert "asyncunit.errors.ConfigurationError: " in result.stderr
    assert result.returncode == 1


def test_its_help_names_it(suite):
    assert "usage: python -m asyncunit" in python("-m", "asyncunit", "--help", cwd=suite).stdout


def test_its_help_tells_of_the_plan(suite):
    for args in (["--help"], ["plan", "-h"], ["discover", "--help"]):
        done = python("-m", "asyncunit", *args, cwd=suite)
        assert "python -m asyncunit plan ... takes the same arguments" in done.stdout
        assert done.returncode == 0


def test_it_says_its_version(suite):
    done = python("-m", "asyncunit", "--version", cwd=suite)
    assert done.stdout.startswith(f"asyncunit {asyncunit.__version__} (Python ")
    assert done.returncode == 0


def test_a_pattern_has_brackets_as_names_have_them(tmp_path):
    write(tmp_path, test_many=MANY)
    done = python("-m", "asyncunit", "-v", "-k", "test_x[1_5]", cwd=tmp_path)
    assert "test_x[1_5] (test_many.Test.test_x[1_5]) ... ok" in done.stderr
    assert "Ran 1 test" in done.stderr


def test_a_run_of_no_test_says_which_functions_it_did_not_take(suite):
    (suite / "test_suite.py").write_text("async def test_one(): ...\ndef test_two(): ...\n")
    done = python("-m", "asyncunit", "test_suite", cwd=suite)
    assert (
        "python -m asyncunit: test_suite has functions that look like tests (test_one and 1 more), and unittest runs "
        "none of them. Write in the module: from asyncunit import load_tests"
    ) in done.stderr
    assert "look like tests" not in python("-m", "asyncunit", "-k", "none", "test_suite.py", cwd=suite).stdout


def test_plan_finds_parameters_that_nothing_fills(tmp_path):
    write(tmp_path, test_many=MANY)
    done = python("-m", "asyncunit", "plan", cwd=tmp_path)
    assert "'pol' is the name of no fixture. The fixtures that Test has: pool. Did you mean 'pool'?" in done.stdout
    assert done.stdout.count("is the name of no fixture") == 1
    assert done.returncode == 1


def test_plan_is_drawn_to_a_depth(tmp_path):
    write(tmp_path, test_many=MANY)
    done = python("-m", "asyncunit", "plan", "--depth", "2", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "session",
        "└─ package (modules outside any package)",
        "   └─ module test_many  5 tests",
        "         test_wrong: 'pol' is the name of no fixture. The fixtures that Test has: pool. Did you mean 'pool'?",
    ]
    assert done.returncode == 1


def test_plan_has_no_path_of_the_machine(suite, tmp_path):
    (suite / "setup.cfg").write_text("[asyncunit]\nmode = auto\n")
    (suite / "test_wrong.py").write_text(WRONG)
    for args in ([], ["--json"]):
        done = python("-m", "asyncunit", "plan", *args, cwd=suite)
        assert "test_suite.py:7" in done.stdout
        assert str(tmp_path) not in done.stdout
        assert str(ROOT) not in done.stdout


def test_a_module_can_run_its_own_tests(suite):
    result = python("test_suite.py", "-v", cwd=suite)
    assert "Plain.test_two" in result.stderr
    assert result.returncode == 1


def test_plan_runs_nothing_and_draws_the_tree(suite):
    (suite / "setup.cfg").write_text("[asyncunit]\nmode = auto\n")
    result = python("-m", "asyncunit", "plan", cwd=suite)
    assert (
        "test_one  on the module loop (inferred from the fixture 'loop' of test_suite (test_suite.py:7))"
        in result.stdout
    )
    assert "\033" not in result.stdout
    assert (result.stderr, result.returncode) == ("", 0)


def test_plan_takes_a_selection_and_gives_json(suite):
    result = python("-m", "asyncunit", "plan", "--json", "test_suite.Plain", cwd=suite)
    (package,) = json.loads(result.stdout)["children"]
    assert package["children"][0]["children"][0]["name"] == "Plain"


def test_plan_ends_with_1_where_something_is_wrong_with_a_test(suite):
    (suite / "test_broken.py").write_text("import no_such_module\n")
    for args in ([], ["--json"]):
        result = python("-m", "asyncunit", "plan", *args, cwd=suite)
        assert "No module named 'no_such_module'" in result.stdout
        assert result.stderr.count("test_suite has functions that look like tests (test_one)") == 1
        assert result.returncode == 1


def test_plan_is_drawn_where_output_is_ascii(suite):
    result = python("-m", "asyncunit", "plan", "test_suite", cwd=suite, PYTHONIOENCODING="ascii")
    assert "`- package (modules outside any package)" in result.stdout
    assert result.returncode == 1  # for what strict mode refuses


def test_a_selection_that_matches_nothing_and_a_module_that_fails_to_import_are_answered_as_by_unittest(suite):
    (suite / "test_broken.py").write_text("import no_such_module\n")
    result = python("-m", "asyncunit", "test_broken", cwd=suite)
    assert "No module named 'no_such_module'" in result.stderr
    assert result.returncode == 1
    result = python("-m", "asyncunit", "-k", "nothing_of_the_kind", "test_suite", cwd=suite)
    assert "Ran 0 tests" in result.stderr
