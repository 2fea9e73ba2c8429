import pytest

from asyncunit import pytest_plugin


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest on the text of a module, with asyncunit's plugin and no other that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text, *args):
        pytester.makepyfile("import asyncio, pytest, asyncunit\nruns = []\n" + text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *args, plugins=[pytest_plugin])

    return run


def test_a_function_runs_under_each_schedule_and_is_reported_once(run):
    result = run("""
@pytest.mark.asyncunit(schedules=7)
async def test_a():
    runs.append(1)

async def check():
    pass

def test_b():
    assert len(runs) == 7
""")
    result.assert_outcomes(passed=2)


def test_what_was_printed_under_another_schedule_is_not_shown(run):
    result = run("""
@pytest.mark.asyncunit(schedules=7)
async def test_a():
    runs.append(1)
    print("run", len(runs))
    assert len(runs) < 4
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- schedule 3 -*", "This is schedule 3. In asyncio's own order*", "*run 4*"])
    result.stdout.no_fnmatch_line("run 3")


def test_a_fixture_that_fails_in_its_tear_down_ends_it_and_wider_ones_are_torn_down(run):
    result = run("""
@pytest.fixture(scope="module")
def wide():
    yield
    runs.append("wide down")

@pytest.fixture
def narrow(wide):
    runs.append("up")
    yield
    assert len(runs) < 3

@pytest.mark.asyncunit(schedules=7)
async def test_a(narrow):
    pass
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["This is schedule 2. In asyncio's own order*"])


def test_a_wider_fixture_that_fails_in_its_tear_down_is_an_error(run):
    result = run("""
@pytest.fixture(scope="module")
def wide():
    yield
    raise ValueError("wide")

@pytest.fixture
def narrow(wide):
    yield
    runs.append(1)
    assert len(runs) < 3

@pytest.mark.asyncunit(schedules=7)
async def test_a(narrow):
    pass

@pytest.mark.asyncunit(schedules=3)
async def test_b(wide):
    pass
""")
    result.assert_outcomes(passed=2, errors=2)


def test_a_skip_and_an_expected_failure_are_what_they_are(run):
    result = run("""
pytestmark = pytest.mark.asyncunit(schedules=5)

async def test_a():
    pytest.skip("today")

@pytest.mark.xfail(strict=True)
async def test_b():
    assert False

@pytest.mark.xfail(strict=True)
async def test_c():
    pass
""")
    result.assert_outcomes(skipped=1, xfailed=1, failed=1)


def test_tests_whose_loop_is_shared_are_counted(run):
    result = run("""
pytestmark = pytest.mark.asyncunit(schedules=5, loop_scope="module")

async def test_a():
    runs.append(1)

async def test_b():
    assert len(runs) == 1
""")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["asyncunit: 2 tests were run once, in asyncio's own order*"])


def test_the_next_test_finds_the_wider_fixtures_as_they_were(run):
    result = run("""
@pytest.fixture(scope="module")
def wide():
    runs.append("up")
    yield len(runs)

@pytest.mark.asyncunit(schedules=5)
async def test_a(wide):
    assert wide == 1

def test_b(wide):
    assert wide == 1
    assert runs == ["up"]

@pytest.mark.asyncunit(schedules=5)
@pytest.mark.parametrize("value", [1, 2])
async def test_c(wide, value):
    assert wide == 1
""")
    result.assert_outcomes(passed=4)
