import contextvars
import os
import threading

import pytest

from asyncunit.scope import Scope
from asyncunit.scopes import registry
from asyncunit.scopes.registry import Run
from tests.support import python

PATH = ((Scope.SESSION, None), (Scope.PACKAGE, "p"), (Scope.MODULE, "p.m"), (Scope.CLASS, "C"))

variable = contextvars.ContextVar("variable", default="outside")


@pytest.fixture
def closed():
    return []


@pytest.fixture
def reported():
    return []


@pytest.fixture
def run(reported):
    return Run("run", lambda scope, error: reported.append((scope.scope, str(error))))


def watch(open_scope, closed, error=None):
    def close(value):
        closed.append(value)
        if error:
            raise error

    open_scope.keep("watched", lambda: open_scope.scope, close)


def enter(run, path, closed):
    run.enter(path)
    for open_scope in run.chain:
        watch(open_scope, closed)


def test_entering_a_path_opens_its_scopes_from_wide_to_narrow(run):
    innermost = run.enter(PATH)
    assert [open_scope.scope for open_scope in run.chain] == [scope for scope, _ in PATH]
    assert run.chain[-1] is innermost


def test_entering_the_same_path_again_keeps_all_open(run):
    before = list(map(id, [run.enter(PATH), *run.chain]))
    assert list(map(id, [run.enter(PATH), *run.chain])) == before


@pytest.mark.parametrize("scope", list(Scope)[1:])
def test_entering_another_path_closes_what_it_leaves_innermost_first(run, closed, scope):
    enter(run, PATH, closed)
    other = tuple((each, "other" if each is scope else key) for each, key in PATH)
    run.enter(other)
    assert closed == [each for each in Scope if Scope.CLASS <= each <= scope]
    assert len(run.chain) == len(PATH)


def test_entering_a_shorter_path_closes_what_is_inside_it(run, closed):
    enter(run, PATH, closed)
    run.enter(PATH[:3])
    assert closed == [Scope.CLASS]


def test_a_scope_that_is_entered_again_is_opened_again(run):
    first = run.enter(PATH)
    run.enter(PATH[:-1])
    assert run.enter(PATH) is not first


def test_what_is_kept_is_made_once_and_closed_last_first(run, closed):
    open_scope = run.enter(PATH)
    assert open_scope.keep("a", lambda: "first", closed.append) == "first"
    assert open_scope.keep("a", lambda: "never made", closed.append) == "first"
    open_scope.keep("b", lambda: "second", closed.append)
    assert open_scope.kept("a") == "first"
    assert open_scope.kept("c") is None
    run.leave(open_scope)
    assert closed == ["second", "first"]


def test_leaving_returns_every_error_and_closes_all_the_same(run, closed):
    for open_scope in [run.enter(PATH), *run.chain[2:3]]:
        watch(open_scope, closed, ValueError(str(open_scope.scope)))
    assert [str(error) for error in run.leave(run.chain[1])] == ["class", "module"]
    assert closed == [Scope.CLASS, Scope.MODULE]
    assert [open_scope.scope for open_scope in run.chain] == [Scope.SESSION]


def test_what_a_closer_returns_are_errors_too(run):
    open_scope = run.enter(PATH)
    open_scope.keep("a", lambda: None, lambda _: [ValueError("one"), ValueError("two")])
    assert [str(error) for error in run.leave(open_scope)] == ["one", "two"]


def test_leaving_twice_does_nothing_more(run, closed):
    enter(run, PATH, closed)
    innermost = run.chain[-1]
    run.leave(innermost)
    assert run.leave(innermost) == []
    assert closed == [Scope.CLASS]


def test_hooks_are_closed_before_all_that_is_kept(run, closed):
    open_scope = run.enter(PATH)
    watch(open_scope, closed)

    class Hooks:
        def close(self):
            closed.append("hooks")
            return []

    open_scope.hooks = Hooks()
    run.leave(open_scope)
    assert closed == ["hooks", Scope.CLASS]


def test_errors_of_scopes_that_are_left_on_the_way_elsewhere_are_reported(run, closed, reported):
    run.enter(PATH)
    watch(run.chain[-1], closed, ValueError("class"))
    watch(run.chain[0], closed, ValueError("session"))
    run.close()
    assert reported == [(Scope.CLASS, "class"), (Scope.SESSION, "session")]


def test_closing_calls_back_when_all_is_closed_once(run, closed):
    enter(run, PATH[:1], closed)
    run.at_end(lambda: closed.append(("end", registry.all_runs().copy())))
    registry.begin(run)
    registry.end(run)
    registry.end(run)
    assert closed == [Scope.SESSION, ("end", [])]


def test_a_run_that_is_abandoned_closes_nothing_and_prints_what_is_still_to_be_reported(run, closed, capsys):
    enter(run, PATH, closed)
    run.chain[1].tell_later([ValueError("boom")])
    run.abandon()
    run.close()
    assert closed == []
    assert capsys.readouterr().err.count("ValueError: boom") == 1


def test_closing_can_go_on_where_it_was_interrupted(run, closed):
    enter(run, PATH[:3], closed)
    watch(run.open(Scope.CLASS, "C"), closed, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run.close()
    run.close()
    assert closed == [Scope.CLASS, Scope.MODULE, Scope.PACKAGE, Scope.SESSION]


def test_a_scopes_context_is_a_copy_of_the_next_wider_taken_when_it_opens(run):
    run.enter(PATH[:2])
    run.chain[1].context.run(variable.set, "package")
    run.enter(PATH)
    assert [open_scope.context.get(variable) for open_scope in run.chain] == [None, "package", "package", "package"]
    run.chain[3].context.run(variable.set, "class")
    assert run.chain[2].context[variable] == "package"
    assert variable.get() == "outside"


def test_the_text_of_a_scope_names_what_it_is(run):
    run.enter((*PATH[:3], (Scope.CLASS, Run)))
    assert [str(open_scope) for open_scope in run.chain] == [
        "session",
        "package p",
        "module p.m",
        "class asyncunit.scopes.registry.Run",
    ]


def test_ending_a_run_ends_those_that_began_inside_it(run, closed, reported):
    inner = Run("inner", run.report)
    before = list(registry.runs())
    registry.begin(run)
    registry.begin(inner)
    enter(run, PATH[:1], closed)
    watch(inner.open(Scope.MODULE, "m"), closed)
    assert registry.runs() == [*before, run, inner]
    registry.end(run)
    registry.end(run)
    assert registry.runs() == before
    assert closed == [Scope.MODULE, Scope.SESSION]


def test_the_innermost_is_the_one_that_began_or_opened_last(run):
    before = registry.innermost_run()
    registry.begin(run)
    assert registry.innermost_run() is run
    assert run.innermost_scope is None
    assert run.enter(PATH) is run.innermost_scope
    registry.end(run)
    assert registry.innermost_run() is before


def test_however_many_runs_there_are_multiprocessing_closes_what_is_open_once(tmp_path):
    code = """
import multiprocessing.util, os
from asyncunit.scopes import registry

def count():
    for number in range(3):
        registry.end(registry.begin(registry.Run(number, print)))
    own = [each for each in multiprocessing.util._finalizer_registry.values() if each._callback is registry.close_all]
    return sum(each._pid == os.getpid() for each in own)

print(count(), flush=True)
if hasattr(os, "fork"):
    if os.fork() == 0:
        print(count(), flush=True)
    else:
        os.wait()
"""
    assert set(python("-c", code, cwd=tmp_path).stdout.split()) == {"1"}


def test_each_thread_has_runs_of_its_own(run):
    registry.begin(run)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(list(registry.runs())))
    thread.start()
    thread.join()
    registry.end(run)
    assert seen == [[]]


def test_what_a_thread_left_open_is_closed_with_the_process_errors_on_stderr(run, closed, capsys):
    def work():
        registry.begin(run)
        watch(run.open(Scope.SESSION, None), closed, ValueError("late"))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    registry.close_all()
    assert closed == [Scope.SESSION]
    err = capsys.readouterr().err
    assert err.startswith("asyncunit: error while the scope 'session' closed:\n")
    assert "ValueError: late" in err


def test_a_thread_that_still_runs_keeps_its_run(run, closed):
    begun, go_on = threading.Event(), threading.Event()

    def work():
        registry.begin(run)
        watch(run.open(Scope.SESSION, None), closed)
        begun.set()
        go_on.wait()
        registry.end(run)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    begun.wait()
    registry.close_all()
    assert closed == []
    go_on.set()
    thread.join()
    assert closed == [Scope.SESSION]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_starts_with_no_run(run, closed):
    registry.begin(run)
    enter(run, PATH, closed)
    child = os.fork()
    if child == 0:
        registry.close_all()
        os._exit(10 * len(registry.runs()) + len(closed))
    registry.end(run)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
