import contextvars

import pytest

from asyncunit import Scope
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.run import PytestRun
from asyncunit.scope import path_of_module
from asyncunit.scopes import registry

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


@pytest.fixture
def opened():
    return []


@pytest.fixture
def run(opened):
    run = PytestRun(Config(timeout=5), opened.append)
    yield run
    registry.end(run)


def test_the_host_is_told_of_each_scope_that_opens_but_for_those_of_tests(run, opened):
    run.enter(path_of_module("example"))
    run.open(Scope.FUNCTION, "test_x")
    assert [scope.scope for scope in opened] == [Scope.SESSION, Scope.PACKAGE, Scope.MODULE]


def test_the_configuration_is_the_hosts(run):
    run.enter(path_of_module("example"))
    assert run.chain[0].config is run.config


def test_a_module_stands_where_the_host_says(run):
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


def test_what_was_raised_as_the_run_went_elsewhere_waits_for_the_host(run):
    module = run.enter(path_of_module("example"))

    def fail(_):
        raise ValueError("boom")

    module.keep("x", object, fail)
    run.enter(path_of_module("other"))
    assert [str(error) for error in run.take_pending()] == ["boom"]
    assert run.take_pending() == []
