import socket
import types
import warnings

import pytest

from asyncunit import AsyncUnitError, AsyncUnitWarning, LeftBehindError, Scope, UnfinishedError
from asyncunit.checks import findings
from asyncunit.checks.findings import Finding, Notices, judge, outliving, warn_of
from asyncunit.config.settings import Config
from asyncunit.introspection.frames import Place
from asyncunit.scopes import registry
from asyncunit.scopes.registry import Run
from tests.conftest import open_scope

TASK = Finding("leaked_tasks", "a task", Place(__file__, 3, "f"))


def scope_that_fails_on(*checks, scope=Scope.CLASS):
    scope = open_scope(scope)
    scope.config = Config(fail_on=frozenset(checks))
    return scope


def test_no_finding_is_no_report():
    assert judge(scope_that_fails_on("leaked_tasks"), []) == []


def test_all_findings_are_one_error_if_one_of_them_is_to_fail():
    owner = scope_that_fails_on("unhandled_errors")
    [error] = judge(owner, [TASK, Finding("unhandled_errors", "a crash", None, ValueError("boom"))])
    assert isinstance(error, LeftBehindError)
    assert repr(error.__cause__) == "ValueError('boom')"
    text = str(error)
    assert text.startswith("class example left behind:\n  - a task\n  - a crash\n")
    assert "before the class ends" in text
    assert "with self.expectUnhandledErrors(ValueError):" in text
    assert "boom" not in text  # it is in the report once, as the cause


def test_what_refuses_to_end_is_an_error_whatever_fails_a_test():
    stubborn = Finding(None, "task 'a' did not end")
    [error] = judge(scope_that_fails_on(), [stubborn])
    assert isinstance(error, UnfinishedError)
    assert "Its event loop is replaced" in str(error)
    [error] = judge(scope_that_fails_on(), [TASK, stubborn])
    assert isinstance(error, LeftBehindError)


def test_several_errors_behind_one_report_are_a_group():
    errors = [ValueError("a"), SystemExit(3)]
    [error] = judge(
        scope_that_fails_on("unhandled_errors"), [Finding("unhandled_errors", "a crash", None, each) for each in errors]
    )
    assert list(error.__cause__.exceptions) == errors


def test_else_they_are_one_warning_with_all_that_is_known():
    with pytest.warns(AsyncUnitWarning) as caught:
        assert (
            judge(scope_that_fails_on(), [TASK, Finding("unhandled_errors", "a crash", None, ValueError("boom"))]) == []
        )
    [warning] = caught
    assert (warning.filename, warning.lineno) == (__file__, 3)
    assert "    ValueError: boom" in str(warning.message)


def test_a_filter_can_make_the_warning_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", AsyncUnitWarning)
        [error] = judge(scope_that_fails_on(), [TASK])
    assert isinstance(error, AsyncUnitWarning)


def test_where_the_run_says_when_it_ends_warnings_wait_for_that():
    run = registry.begin(Run(None, print))
    run.notices = Notices()
    run.at_end(run.notices.show)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        scope = run.open(Scope.SESSION, None)
        judge(scope, [TASK])
        warnings.simplefilter("ignore")
        judge(scope, [TASK])
        assert shown == []
        registry.end(run)
    assert [warning.category for warning in shown] == [AsyncUnitWarning]


def test_of_very_many_warnings_the_last_are_counted(monkeypatch, capsys):
    monkeypatch.setattr(findings, "_NOTICES", 2)
    notices = Notices()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for number in range(5):
            with warnings.catch_warnings(record=True) as found:
                warnings.warn(str(number), AsyncUnitWarning, stacklevel=1)
            notices.add(found)
        notices.show()
        notices.show()
    assert [str(warning.message) for warning in shown] == ["0", "1"]
    assert capsys.readouterr().err == "asyncunit: 3 more warnings of this kind\n"


@pytest.mark.parametrize(("action", "count"), [("ignore", 0), ("error", 1), ("default", 1)])
def test_what_only_warns_is_silenced_by_a_filter_for_all_and_made_no_error_by_one(action, count):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter(action)
        assert warn_of(AsyncUnitError("left"), "test_x")
    assert len(shown) == count


class Case:
    pass


class Pool:
    pass


@pytest.fixture
def owner():
    return open_scope(Scope.FUNCTION)


def test_what_only_the_test_itself_holds_does_not_outlive_it(owner):
    case = Case()
    with socket.socket() as thing:
        case.thing = [thing]
        assert outliving([thing], owner, case) == []


def test_what_a_class_holds_does(owner):
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as thing:
        Keeper.pool.free = [thing]
        case.pool = Keeper.pool
        assert outliving([thing], owner, case) == [thing]


def test_what_a_module_holds_does(owner):
    module = types.ModuleType("module")
    with socket.socket() as thing:
        module.cache = {"key": (thing,)}
        assert outliving([thing], owner, Case()) == [thing]


def test_of_several_things_each_is_told(owner):
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as kept, socket.socket() as left:
        Keeper.pool.free = {"kept": kept}
        case.left = left
        assert outliving([left, kept], owner, case) == [kept]


def test_of_things_at_different_depths_each_is_told(owner):
    """The way of the one leads over what the other was found by before."""

    class Keeper:
        pool = Pool()

    with socket.socket() as near, socket.socket() as far:
        Keeper.pool.near, Keeper.pool.behind = near, [[[far]]]
        assert outliving([near, far], owner, Case()) == [near, far]


def test_a_search_ends_where_nothing_more_leads_to_the_thing(owner, monkeypatch):
    """It does not find what it has made itself."""
    steps = []
    behind = findings._Graph.referrers
    monkeypatch.setattr(findings._Graph, "referrers", lambda graph: steps.append(graph) or behind(graph))
    with socket.socket() as thing:
        held = [[thing]]
        assert outliving([thing], owner, Case()) == []
    assert held
    assert len(steps) == 3


def test_what_is_known_to_refer_to_a_thing_needs_no_search(owner, monkeypatch):
    monkeypatch.setattr(findings._Graph, "referrers", pytest.fail)
    thing, case = Pool(), Case()
    things, apart = [thing], [thing, thing]
    del thing
    assert outliving(things, owner, case, [apart, apart, things]) == []
