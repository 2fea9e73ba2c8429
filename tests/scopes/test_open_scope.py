import contextvars
import gc

import pytest

from asyncunit import Scope
from asyncunit.config.settings import Config
from asyncunit.scopes.open_scope import OpenScope


def opened(scope=Scope.CLASS, key="example", within=None):
    context = contextvars.copy_context() if within is None else within.context.copy()
    return OpenScope(scope, key, context, within)


def test_a_scope_that_let_go_of_its_context_knows_whether_anything_holds_it():
    clean, left = opened(), opened()
    kept = left.context.run(contextvars.copy_context)
    assert not clean.let_go()
    assert left.let_go()
    del kept


def test_what_was_made_is_known_as_long_as_it_is_there():
    class Thing:
        pass

    scope, thing = opened(), Thing()
    assert scope.place_of(thing) is None
    scope.note(thing, "here")
    assert (scope.things(), scope.place_of(thing)) == ([thing], "here")
    del thing
    gc.collect()
    assert scope.things() == []
    assert scope.made == {}


def test_the_configuration_is_the_wider_scopes_until_it_says_otherwise():
    outer = opened(Scope.MODULE)
    outer.config = Config(timeout=5)
    assert opened(Scope.CLASS, within=outer).config.timeout == 5


def test_a_scope_is_inside_itself_and_those_around_it():
    outer = opened(Scope.MODULE)
    inner = opened(within=outer)
    assert (inner.is_inside(outer), inner.is_inside(inner), outer.is_inside(inner)) == (True, True, False)


def test_a_scope_is_named_as_unittest_names_it():
    class Test:
        pass

    of_class = opened(Scope.CLASS, Test)
    name = f"{__name__}.{Test.__qualname__}"
    assert str(of_class) == f"class {name}"
    assert str(opened(Scope.FUNCTION, "test_x", of_class)) == f"test_x ({name}.test_x)"
    assert (str(opened(Scope.MODULE, "a.b")), str(opened(Scope.SESSION, None))) == ("module a.b", "session")


@pytest.mark.parametrize("name", ["hooks", "fixtures"])
def test_a_scope_knows_whether_it_has_anything_to_close(name):
    with_part, keeping = opened(), opened()
    assert not with_part.has_anything_to_close()
    setattr(with_part, name, object())
    assert with_part.has_anything_to_close()
    keeping.keep("a", object, lambda _: None)
    assert keeping.has_anything_to_close()
    keeping.close()
    assert not keeping.has_anything_to_close()


def test_an_error_that_is_still_to_be_reported_is_taken_once_or_returned_when_the_scope_closes():
    scope, first, second = opened(), ValueError("first"), ValueError("second")
    scope.tell_later([first])
    scope.tell_later([second])
    assert scope.has_anything_to_close()
    assert scope.take_untold() == [first, second]
    assert scope.take_untold() == []
    assert not scope.has_anything_to_close()
    scope.tell_later([first])
    assert (scope.close(), scope.close()) == ([first], [])


def test_what_is_still_to_be_reported_is_printed_where_ctrl_c_interrupts_the_closing(capsys):
    def close(_):
        raise KeyboardInterrupt

    scope = opened()
    scope.keep("a", object, close)
    scope.keep("b", object, lambda _: [ValueError("boom")])
    with pytest.raises(KeyboardInterrupt):
        scope.close()
    assert capsys.readouterr().err.count("ValueError: boom") == 1
    assert scope.close() == []
