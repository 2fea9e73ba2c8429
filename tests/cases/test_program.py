import io
import json
import unittest

import pytest

import asyncunit
from asyncunit.cases import program
from asyncunit.cases.program import Outline, as_json, as_text, of_suite, relative, takes_color
from asyncunit.cases.program import write as write_outline
from asyncunit.config.settings import Config
from tests.support import ROOT, module_of, python, write

TEXT = """
import unittest
from asyncunit import load_tests

@asyncunit.fixture(scope="session")
async def pool(): ...

@asyncunit.fixture
def name(): ...

class TestShared(asyncunit.ClassLoopTestCase):
    async def test_x(self, name): ...

class TestOwn(asyncunit.AsyncTestCase):
    async def test_x(self): ...

class TestPlain(unittest.TestCase):
    def test_x(self): ...

async def test_wide(pool): ...
"""


@pytest.fixture
def outline():
    with module_of(TEXT, "example_outline") as module:
        yield of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())


def test_the_tree_says_what_shares_which_loop_and_why_and_where_fixtures_are_set_up(outline):
    text = as_text(outline).replace(__file__, "FILE")
    lines = [line.partition(" of example_outline")[0] for line in text.splitlines()]
    assert lines == [
        "session",
        "│  fixtures: pool",
        "└─ package (modules outside any package)",
        "   └─ module example_outline",
        "      ├─ class TestOwn  on a loop for each test (by default)",
        "      │  └─ test_x",
        "      ├─ class TestPlain",
        "      │  └─ test_x",
        "      ├─ class TestShared  on the class loop (as example_outline.TestShared says)",
        "      │  └─ test_x  fixtures: name (sync)",
        "      └─ test_wide  on the session loop (inferred from the fixture 'pool'",
    ]


def test_the_tree_has_colours_where_they_are_asked_for(outline):
    assert "\033[32mthe class loop\033[0m" in as_text(outline, color=True)
    assert "\033" not in as_text(outline)


def test_the_tree_is_json_for_other_programs(outline):
    found = json.loads(as_json(outline))
    (package,) = found["children"]
    (module,) = package["children"]
    assert module["kind"] == "module"
    assert [child["name"] for child in module["children"]] == ["TestOwn", "TestPlain", "TestShared", "test_wide"]
    assert module["children"][-1]["loop"] == "session"
    assert found["fixtures"] == ["pool"]


def test_what_is_wrong_with_a_class_stands_in_its_place():
    text = """
class Test(asyncunit.AsyncTestCase):
    loop_scope = "function"
    async def test_x(self, late): ...

@asyncunit.fixture(scope="session")
async def late(): ...
"""
    with module_of(text, "example_wrong_outline") as module:
        drawn = as_text(of_suite(unittest.TestLoader().loadTestsFromModule(module), Config()))
    assert 'has loop_scope = "function", but the fixture' in drawn


def test_what_could_not_be_loaded_stands_in_its_place(tmp_path, monkeypatch):
    write(
        tmp_path,
        test_example_broken="import no_such_module\n",
        test_example_unmade="""
            import asyncunit
            from asyncunit import load_tests

            @asyncunit.parametrize("b", [1])
            async def test_x(a): ...
        """,
    )
    monkeypatch.syspath_prepend(tmp_path)
    drawn = of_suite(unittest.TestLoader().discover(str(tmp_path)), Config())
    assert drawn.has_errors
    broken, package = drawn.children
    assert (broken.kind, broken.name) == ("test", "test_example_broken")
    assert "No module named 'no_such_module'" in broken.error
    (module,) = package.children
    assert (module.name, [child.name for child in module.children]) == ("test_example_unmade", ["test_x"])
    assert "is parametrized by 'b', which is not one of its parameters: a." in module.children[0].error


def test_an_async_test_that_is_refused_stands_there_with_the_mend():
    text = """
from asyncunit import load_tests

class Plain(unittest.TestCase):
    async def test_x(self): ...
"""
    with module_of(text, "example_refused") as module:
        drawn = of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())
    assert "Write asyncunit.AsyncTestCase as the base of Plain" in as_text(drawn)
    assert drawn.has_errors


def test_a_module_that_skips_itself_is_no_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, test_skips_itself="import unittest\nraise unittest.SkipTest('not here')\n")
    drawn = of_suite(unittest.TestLoader().discover(str(tmp_path)), Config())
    assert as_text(drawn).splitlines() == ["session", "└─ test_skips_itself"]
    assert not drawn.has_errors


def test_a_fixture_of_class_scope_is_each_functions_own():
    text = """
from asyncunit import load_tests

@asyncunit.fixture(scope="class")
async def of_class(): ...

async def test_x(of_class): ...
async def test_y(of_class): ...
"""
    with module_of(text, "example_functions_outline") as module:
        drawn = of_suite(unittest.TestLoader().loadTestsFromModule(module), Config())
    (module,) = drawn.children[0].children
    assert module.fixtures == []
    assert [child.fixtures for child in module.children] == [["of_class"], ["of_class"]]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "session\n├─ é\n│  ├─ b\n│  └─ c\n└─ d\n"),
        ("ascii", "session\n+- \\xe9\n|  +- b\n|  `- c\n`- d\n"),
    ],
)
def test_a_tree_is_drawn_with_what_the_stream_can_have(encoding, expected):
    outline = Outline("session", "")
    outline.child("test", "é").child("test", "b")
    outline.child("test", "é").child("test", "c")
    outline.child("test", "d")
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding, newline="\n", write_through=True) as stream:
        write_outline(outline, stream)
        assert written.getvalue().decode(encoding) == expected


def test_the_configuration_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(program, "load", lambda: read.append(1) or Config())
    with module_of(TEXT, "example_read") as module:
        of_suite(unittest.TestLoader().loadTestsFromModule(module))
    assert read == [1]


def test_a_child_is_made_once():
    outline = Outline("session", "")
    assert outline.child("module", "a") is outline.child("module", "a")
    outline.set_up(["x", "x"])
    outline.set_up(["x", "y"])
    assert outline.fixtures == ["x", "y"]


class Stream:
    def __init__(self, is_terminal):
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environ", "expected"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": ""}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_show_them(monkeypatch, is_terminal, environ, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert takes_color(Stream(is_terminal)) is expected


def test_paths_are_relative_to_where_python_imports_from(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    text = f"{tmp_path}/test_x.py:1 and {tmp_path}/site/test_y.py:2, but not /elsewhere/z.py:3"
    assert relative(text) == "test_x.py:1 and site/test_y.py:2, but not /elsewhere/z.py:3"
    monkeypatch.chdir("/")
    assert relative(f"{tmp_path}/site/test_y.py:2 of /elsewhere/z.py:3") == "test_y.py:2 of /elsewhere/z.py:3"


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
