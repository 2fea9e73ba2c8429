"""What a user has written wrong is shown at the user's line, without frames of the runner or of asyncunit."""

import re

import pytest

from tests.support import python, write

PYTEST = ("-m", "pytest", "-q", "-p", "asyncunit.pytest_plugin", "test_it.py")
RUNNERS = {"unittest": ("-m", "unittest", "test_it"), "asyncunit": ("-m", "asyncunit", "test_it"), "pytest": PYTEST}

MISSING = """
    import asyncunit
    class Test(asyncunit.AsyncTestCase):
        @asyncunit.fixture
        def pool(self): ...
        async def test_x(self, pol): ...
"""
BLOCKING = """
    import time
    import asyncunit
    @asyncunit.settings(timeout=0.1)
    class Test(asyncunit.AsyncTestCase):
        async def test_x(self):
            time.sleep(0.3)
"""
BLOCKING_SYNC = BLOCKING.replace("async def", "def")
SETTING = """
    import asyncunit
    @asyncunit.settings(tiemout=3)
    class Test(asyncunit.AsyncTestCase): ...
"""
DEFINITION = """
    import asyncunit
    class Test(asyncunit.AsyncTestCase):
        @asyncunit.fixture
        async def pool(self, conn): ...
"""


def places(output):
    """The files and lines that a report shows, but for the stacks that the watchdog prints of all threads."""
    report = (output.partition("======")[2] or output).partition("Captured stderr")[0]
    return re.findall(r'^  File ".*?([\w<>. ]+)", line (\d+)|^([\w./]+\.py):(\d+): ', report, re.M)


def shown(text, tmp_path, *args):
    write(tmp_path, test_it=text)
    done = python(*args, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode != 0
    report = done.stdout if "pytest" in args else done.stderr
    return {(file or other, int(line or last)) for file, line, other, last in places(report)}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("text", "line"),
    [(MISSING, 6), (BLOCKING, 7), (BLOCKING_SYNC, 7)],
    ids=["missing", "blocking", "blocking_sync"],
)
def test_the_error_of_a_test_that_cannot_run_begins_at_its_line(tmp_path, runner, text, line):
    assert shown(text, tmp_path, *RUNNERS[runner]) == {("test_it.py", line)}


@pytest.mark.parametrize("args", [RUNNERS["asyncunit"], ("-m", "asyncunit", "discover"), PYTEST], ids=" ".join)
@pytest.mark.parametrize("text", [SETTING, DEFINITION], ids=["setting", "definition"])
def test_the_error_of_a_module_that_cannot_be_imported_begins_at_its_line(tmp_path, args, text):
    assert shown(text, tmp_path, *args) == {("test_it.py", 3)}


MODULE = """
    import asyncunit
    from asyncunit import fixture, param, parametrize, settings
    {}
"""
WRONG = {
    "settings": "settings(tiemout=3)",
    "settings, for a cause": "settings(loop_factory='nowhere:nothing')",
    "settings, on a class": "settings(loop_scope='class')(type('C', (), {'loop_scope': 'module'}))",
    "parametrize": "parametrize('class', [])",
    "parametrize, on a function": "parametrize('a', 3)(lambda self, a: None)",
    "param": "param(1, id=3)",
    "fixture": "fixture(3)",
    "fixture, called": "fixture(scope='clas')(lambda: None)",
    "class": "type('Test', (asyncunit.AsyncTestCase,), {'x': fixture(lambda self, y: None)})",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_a_module_has_no_line_of_asyncunits_for_whoever_imports_it(tmp_path, wrong):
    write(tmp_path, wrong=MODULE.format(wrong))
    lines = python("-c", "import wrong", cwd=tmp_path).stderr
    assert "AsyncUnitError" not in lines
    assert "asyncunit.errors." in lines
    assert "asyncunit" not in "".join(re.findall(r'^  File "(.*)"', lines, re.M))
    assert re.findall(r'^  File ".*wrong.py", line (\d+)', lines, re.M) == ["4"]


@pytest.mark.parametrize("text", [SETTING, DEFINITION], ids=["setting", "definition"])
@pytest.mark.parametrize("args", [("test_it",), ("discover",)], ids=" ".join)
def test_under_plain_unittest_the_users_line_is_the_last_behind_those_of_unittest(tmp_path, args, text):
    write(tmp_path, test_it=text)
    lines = python("-m", "unittest", *args, cwd=tmp_path).stderr.splitlines()
    frames = [line for line in lines if line.startswith("  File ")]
    assert 'test_it.py", line 3' in frames.pop()
    assert not [frame for frame in frames if "asyncunit" in frame]
