import asyncio
import contextvars

import pytest

from asyncunit import LeftBehindError, Scope, pytest_plugin
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.run import FunctionTest, PytestRun
from asyncunit.scope import path_of_module
from asyncunit.scopes import registry
from tests.conftest import fail, position, running_loop

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture
def opened():
    return []


@pytest.fixture
def run(opened):
    run = PytestRun(Config(timeout=5), lambda scope, _: opened.append(scope))
    yield run
    registry.end(run)


def test_pytest_is_told_of_each_scope_that_opens_but_for_those_of_tests(run, opened):
    run.enter(path_of_module("example"))
    run.open(Scope.FUNCTION, "test_x")
    assert [scope.scope for scope in opened] == [Scope.SESSION, Scope.PACKAGE, Scope.MODULE]


def test_the_configuration_is_pytests(run):
    run.enter(path_of_module("example"))
    assert run.chain[0].config is run.config


def test_a_module_stands_where_pytest_says(run):
    path = ((Scope.SESSION, None), (Scope.PACKAGE, "a"), (Scope.PACKAGE, "a.b"), (Scope.MODULE, "a.b.test_c"))
    run.paths["a.b.test_c"] = path
    assert run.path_of_module("a.b.test_c") == path
    assert run.path_of_module("example") == path_of_module("example")
    run.enter(path)
    assert run.innermost(Scope.PACKAGE).key == "a.b"


def in_context(function):
    return contextvars.copy_context().run(function)


def test_a_scope_sees_what_is_set_around_the_run_and_what_wider_scopes_set(run):
    other: contextvars.ContextVar[str] = contextvars.ContextVar("other")

    def check():
        module = run.enter(path_of_module("example"))
        module.context.run(other.set, "of the module")
        token = variable.set("around")
        test = run.open(Scope.FUNCTION, "test_x")
        seen = test.context.get(variable), test.context.get(other)
        variable.reset(token)
        run.leave(test)
        later = run.open(Scope.FUNCTION, "test_y")
        return seen, later.context.get(variable), later.context.get(other)

    assert in_context(check) == (("around", "of the module"), None, "of the module")


def test_a_scope_may_have_unset_what_is_set_around_the_run(run):
    def check():
        token = []
        module = run.enter(path_of_module("example"))
        module.context.run(lambda: token.append(variable.set("of the module")))
        first = run.open(Scope.FUNCTION, "test_x")
        run.leave(first)
        module.context.run(lambda: variable.reset(token[0]))
        later = run.open(Scope.FUNCTION, "test_y")
        return first.context[variable], later.context.get(variable)

    assert in_context(check) == ("of the module", None)


def test_what_is_set_around_the_run_later_is_in_front_of_what_a_wider_scope_has_set(run):
    def check():
        module = run.enter(path_of_module("example"))
        module.context.run(variable.set, "of the module")
        variable.set("of a fixture")
        return run.open(Scope.FUNCTION, "test_x").context[variable]

    assert in_context(check) == "of a fixture"


def test_an_open_scope_can_catch_up_with_what_was_set_meanwhile(run):
    def check():
        module = run.enter(path_of_module("example"))
        variable.set("later")
        before = module.context.get(variable)
        run.catch_up(module)
        return before, module.context[variable]

    assert in_context(check) == (None, "later")


def test_closing_a_scope_raises_what_its_closing_raised(run):
    module = run.enter(path_of_module("example"))

    def fail(_):
        raise ValueError("boom")

    module.keep("x", object, fail)
    with pytest.raises(ValueError, match="boom"):
        run.close_scope(module)
    assert run.chain[-1].scope is Scope.PACKAGE


def test_what_was_raised_as_the_run_went_elsewhere_waits_for_pytest(run):
    module = run.enter(path_of_module("example"))

    def fail(_):
        raise ValueError("boom")

    module.keep("x", object, fail)
    run.enter(path_of_module("other"))
    assert [str(error) for error in run.take_pending()] == ["boom"]
    assert run.take_pending() == []


def test_a_test_with_a_loop_of_its_own_closes_it(run_of_pytest):
    test = FunctionTest(run_of_pytest, position(4), "test_x")
    loop = test.call(running_loop, {})
    assert not loop.is_closed()
    assert test.close() == []
    assert loop.is_closed()


def test_tests_that_stand_in_one_scope_share_its_loop(run_of_pytest):
    loops = []
    for name in ("test_x", "test_y"):
        test = FunctionTest(run_of_pytest, position(1), name)
        loops.append(test.call(running_loop, {}))
        test.close()
    assert loops[0] is loops[1]
    registry.end(run_of_pytest)
    assert loops[0].is_closed()


def test_what_one_test_sets_another_does_not_see(run_of_pytest):
    async def put():
        variable.set("x")

    async def get():
        return variable.get("unset")

    for function, expected in ((put, None), (get, "unset")):
        test = FunctionTest(run_of_pytest, position(3), function.__name__)
        assert test.call(function, {}) == expected
        test.close()


def test_what_a_test_leaves_behind_is_an_error_of_its_end(run_of_pytest):
    async def leave():
        asyncio.ensure_future(fail())
        await asyncio.sleep(0)

    test = FunctionTest(run_of_pytest, position(3), "test_x")
    test.call(leave, {})
    (error,) = test.close()
    assert isinstance(error, LeftBehindError)


def test_a_sync_function_that_returns_a_coroutine_has_it_awaited(run_of_pytest):
    test = FunctionTest(run_of_pytest, position(3), "test_x")
    assert test.call(lambda: running_loop(), {}).is_running() is False
    assert test.call(lambda: 5, {}) == 5
    test.close()


@pytest.fixture
def run_of_under_schedules(pytester, monkeypatch):
    """Run pytest on the text of a module, with asyncunit's plugin and no other that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_of_under_schedules(text, *args):
        pytester.makepyfile("import asyncio, pytest, asyncunit\nruns = []\n" + text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *args, plugins=[pytest_plugin])

    return run_of_under_schedules


def test_a_function_runs_under_each_schedule_and_is_reported_once(run_of_under_schedules):
    result = run_of_under_schedules("""
@pytest.mark.asyncunit(schedules=7)
async def test_a():
    runs.append(1)

async def check():
    pass

def test_b():
    assert len(runs) == 7
""")
    result.assert_outcomes(passed=2)


def test_what_was_printed_under_another_schedule_is_not_shown(run_of_under_schedules):
    result = run_of_under_schedules("""
@pytest.mark.asyncunit(schedules=7)
async def test_a():
    runs.append(1)
    print("run", len(runs))
    assert len(runs) < 4
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- schedule 3 -*", "This is schedule 3. In asyncio's own order*", "*run 4*"])
    result.stdout.no_fnmatch_line("run 3")


def test_a_fixture_that_fails_in_its_tear_down_ends_it_and_wider_ones_are_torn_down(run_of_under_schedules):
    result = run_of_under_schedules("""
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


def test_a_wider_fixture_that_fails_in_its_tear_down_is_an_error(run_of_under_schedules):
    result = run_of_under_schedules("""
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


def test_a_skip_and_an_expected_failure_are_what_they_are(run_of_under_schedules):
    result = run_of_under_schedules("""
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


def test_tests_whose_loop_is_shared_are_counted(run_of_under_schedules):
    result = run_of_under_schedules("""
pytestmark = pytest.mark.asyncunit(schedules=5, loop_scope="module")

async def test_a():
    runs.append(1)

async def test_b():
    assert len(runs) == 1
""")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["asyncunit: 2 tests were run once, in asyncio's own order*"])


def test_the_next_test_finds_the_wider_fixtures_as_they_were(run_of_under_schedules):
    result = run_of_under_schedules("""
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
