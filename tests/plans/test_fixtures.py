import contextlib
import functools
import inspect
import pydoc
import re
import threading
import unittest
from unittest import mock

import pytest

from asyncunit import (
    AsyncTestCase,
    ClassLoopTestCase,
    ConfigurationError,
    DefinitionError,
    FixtureNotSetUpError,
    LoopScopeError,
    Scope,
    fixture,
)
from asyncunit.plans import class_plan as plans
from asyncunit.plans.fixtures import Fixture
from tests import typed_suite
from tests.support import module_of, run, run_module


async def coroutine(self): ...
async def async_generator(self):
    yield


def function(self): ...
def generator(self):
    yield


# As it is declared.


@pytest.mark.parametrize(
    ("written", "is_async", "is_generator"),
    [(coroutine, True, False), (async_generator, True, True), (function, False, False), (generator, False, True)],
)
def test_it_knows_what_it_is_written_as(written, is_async, is_generator):
    for made in (fixture(written), fixture()(written), fixture(contextless(written))):
        assert (made.is_async, made.is_generator) == (is_async, is_generator)


def contextless(written):
    @functools.wraps(written)
    def wrapper(*args, **kwargs):
        return written(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_is_written_as_text_or_as_scope(scope):
    assert fixture(scope=str(scope))(function).scope is fixture(scope=scope)(function).scope is scope


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fixture("session"), r"decorates 'session'; .*Write asyncunit.fixture\(scope='session'\)"),
        (lambda: fixture(AsyncTestCase), "decorates <class .*; expected a function"),
        (lambda: fixture(fixture(function)), "decorates <fixture 'function'"),
        (lambda: fixture(classmethod(function)), r"the classmethod function \(.*:\d+\). Take @classmethod away"),
        (lambda: fixture(staticmethod(function)), "Take @staticmethod away"),
        (lambda: fixture(autouse=1)(function), "autouse is 1; expected True, False or None"),
        (lambda: fixture(name="a b")(function), "name is 'a b'; expected the name of an attribute"),
        (lambda: fixture(name="request")(function), "the name 'request' is taken"),
        (lambda: fixture(ids=["a"])(function), "there are ids and no params"),
        (lambda: fixture(params=1)(function), "params: the values are 1; expected a list"),
        (lambda: fixture(params=[1], ids=[])(function), "there are 1 values and 0 ids"),
        (lambda: fixture(loop_scope="session")(function), "it is not async and needs no event loop"),
        (lambda: fixture(scope="module", loop_scope="class")(coroutine), "its event loop would end before it"),
    ],
)
def test_what_could_not_work_is_refused(make, message):
    with pytest.raises(DefinitionError, match=message):
        make()


@pytest.mark.parametrize("key", ["scope", "loop_scope"])
def test_an_unknown_scope_is_refused(key):
    with pytest.raises(ConfigurationError, match=f"{key} is 'sesion'; .*Did you mean 'session'"):
        fixture(**{key: "sesion"})(coroutine)


def test_the_text_of_a_fixture_says_where_it_is():
    class Database:
        @fixture
        def pool(self): ...

    made = inspect.getattr_static(Database, "pool")
    line = inspect.getsourcelines(made.function)[1]
    assert str(made).startswith("fixture 'pool' of ")
    assert str(made).endswith(f"Database ({__file__}:{line})")
    assert repr(made) == f"<{made}>"


# As it is read.


class Database:
    @fixture(scope="class")
    def pool(cls):
        """What is shared."""
        return "pool"

    @fixture
    async def connection(self, pool):
        return f"connection of {pool}"

    @fixture(autouse=False)
    def extra(self):
        return "extra"

    @fixture(name="named")
    def make_named(self):
        return "named"


def test_it_is_read_as_an_attribute_in_hooks_and_tests():
    read = []

    class Test(Database, AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            read.append(cls.pool)

        @classmethod
        async def asyncSetUpClass(cls):
            read.append(cls.pool)

        def setUp(self):
            read.append(self.connection)

        async def asyncSetUp(self):
            read.append(self.named)

        async def test_x(self):
            read.append((type(self).pool, self.connection, self.make_named))
            self.addCleanup(lambda: read.append(self.connection))

        def tearDown(self):
            read.append(self.pool)

        @classmethod
        def tearDownClass(cls):
            read.append(cls.pool)

    result = run(Test)
    assert result.wasSuccessful(), result.errors
    connection = "connection of pool"
    assert read == ["pool", "pool", connection, "named", ("pool", connection, "named"), "pool", connection, "pool"]


def test_it_is_filled_in_as_a_parameter():
    class Test(Database, AsyncTestCase):
        async def test_x(self, extra, pool, *, connection, default="default"):
            self.assertEqual((extra, pool, connection), ("extra", "pool", "connection of pool"))
            self.assertEqual((self.extra, default), ("extra", "default"))

    assert run(Test).passed == ["test_x"]


def test_a_value_is_gone_after_its_test():
    class Test(Database, AsyncTestCase):
        def test_x(self): ...

    test = Test("test_x")
    test.run(result := unittest.TestResult())
    assert result.wasSuccessful()
    with pytest.raises(FixtureNotSetUpError):
        _ = test.connection


def test_the_overridden_value_is_read_by_super():
    class Test(Database, AsyncTestCase):
        @fixture
        def connection(self, connection):
            return f"my {connection}"

        def test_x(self):
            self.assertEqual(self.connection, "my connection of pool")
            self.assertEqual(super().connection, "connection of pool")

    assert run(Test).passed == ["test_x"]


def test_a_thread_reads_what_the_test_reads():
    class Test(Database, AsyncTestCase):
        def test_x(self):
            read = []
            thread = threading.Thread(target=lambda: read.extend([self.connection, type(self).pool]))
            thread.start()
            thread.join()
            self.assertEqual(read, ["connection of pool", "pool"])

    assert run(Test).passed == ["test_x"]


# Where it has no value.


def test_a_fixture_that_the_test_has_not_asked_for_says_how_to_ask():
    class Test(Database, AsyncTestCase):
        def test_a(self, extra): ...

        def test_b(self):
            _ = self.extra

    error = run(Test).only_error()
    assert isinstance(error, FixtureNotSetUpError)
    assert "fixture 'extra' of Database (" in str(error)
    assert "has no value for " in str(error)
    assert "as in def test_...(self, extra)" in str(error)


def test_a_class_hook_cannot_read_what_is_made_for_each_test():
    class Test(Database, AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            _ = cls.connection

        def test_x(self): ...

    error = run(Test).only_error()
    assert "It is set up for each test, before setUp" in str(error)
    assert "Class and module hooks can read fixtures of wider scopes only" in str(error)


def read(cls, name="value"):
    """The message for a test that reads a fixture which has no value there."""
    cls.test_x = lambda self: getattr(self, name)
    return str(run(cls).only_error())


def test_a_test_case_of_unittest_has_no_fixtures():
    class Test(Database, unittest.IsolatedAsyncioTestCase): ...

    assert "Test is not one of asyncunit's test cases; write asyncunit.AsyncTestCase as its base" in read(Test, "pool")


def test_a_fixture_that_comes_later_is_none():
    class Test(AsyncTestCase): ...

    Test.value = fixture(function)
    assert "put into the class after that was defined; define it in the body" in read(Test)


def test_an_overridden_fixture_that_is_not_named_says_how_to_name_it():
    class Test(Database, AsyncTestCase):
        @fixture
        async def connection(self):
            return super().connection

        def test_x(self): ...

    message = str(run(Test).only_error())
    assert (
        "To have it in the fixture that overrides it, name it there as a parameter: def connection(self, conn"
        in message
    )


def test_a_class_hook_cannot_read_what_differs_from_test_to_test():
    class Test(AsyncTestCase):
        @fixture(scope="session", params=[1, 2])
        def value(cls): ...

        @classmethod
        def setUpClass(cls):
            _ = cls.value

        def test_x(self): ...

    assert "It has params, so its value is another one from test to test" in str(run(Test).only_error())


def test_a_fixture_of_a_module_is_not_read_as_a_global():
    with pytest.raises(FixtureNotSetUpError, match=r"name it as a parameter: def test_...\(self, function\)"):
        fixture(function).anything()


def test_outside_a_run_the_class_has_the_fixture_itself():
    class Test(Database, AsyncTestCase):
        def test_x(self): ...

    assert isinstance(Test.pool, Fixture)
    assert Test.pool.__doc__ == "What is shared."
    assert not callable(Test.pool)  # or unittest would take one that is named test_client for a test
    with pytest.raises(FixtureNotSetUpError, match="before the first test that uses it"):
        Test.pool.acquire()
    test = Test("test_x")
    assert not hasattr(test, "pool")
    assert getattr(test, "pool", None) is None


def test_tools_that_look_at_everything_find_a_class_with_fixtures_in_order():
    class Test(Database, AsyncTestCase):
        """Documented."""

        def test_x(self): ...

    assert dict(inspect.getmembers(Test))["pool"] is Test.pool
    assert "What is shared." in pydoc.render_doc(Test)
    assert mock.create_autospec(Test)
    with mock.patch.object(Test, "pool", "patched"):
        assert Test.pool == "patched"


def test_the_name_of_a_fixture_may_begin_like_a_test():
    class Test(AsyncTestCase):
        @fixture
        def test_client(self):
            return "client"

        def test_x(self):
            self.assertEqual(self.test_client, "client")

    assert run(Test).passed == ["test_x"]


# The request.


def test_the_request_tells_who_asks():
    seen = {}

    class Told:
        @fixture(scope="session")
        def wide(cls, request):
            seen["session"] = (request.scope, request.cls, request.instance)

        @fixture(scope="class")
        def of_class(cls, request):
            seen["class"] = (request.scope, request.cls, request.instance)

        @fixture
        def of_test(self, request):
            seen["function"] = (request.scope, request.cls, request.instance)
            with pytest.raises(AttributeError, match=r"fixture 'of_test' of .* has no params"):
                _ = request.param

    class Test(Told, AsyncTestCase):
        def test_x(self):
            seen["test"] = self

    assert run(Test).wasSuccessful()
    assert seen["session"] == ("session", None, None)
    assert seen["class"] == ("class", Test, None)
    assert seen["function"] == ("function", Test, seen["test"])


# What is passed first.


def test_the_first_parameter_is_the_test_the_class_or_the_class_that_defines_it():
    seen = []

    class Mixin:
        @fixture
        def a(self):
            seen.append(self)

        @fixture(scope="class")
        def b(cls):
            seen.append(cls)

        @fixture(scope="session")
        def c(cls):
            seen.append(cls)

    class Test(Mixin, AsyncTestCase):
        def test_x(self):
            seen.append(self)

    assert run(Test).wasSuccessful()
    assert seen[:2] == [Mixin, Test]
    assert seen[2] is seen[3]


def test_a_typed_suite_runs():
    result = run(typed_suite.TestTypes)
    assert result.raised == []
    assert len(result.passed) == 6


def test_a_test_that_is_over_does_not_read_the_value_of_another():
    tests = []

    class Test(AsyncTestCase):
        @fixture
        def value(self):
            return self.id()

        def test_a(self):
            tests.append(self)

        def test_b(self):
            self.assertFalse(hasattr(tests[0], "value"))

    assert run(Test).passed == ["test_a", "test_b"]


def test_a_fixture_may_be_patched():
    class Test(AsyncTestCase):
        @fixture
        @mock.patch("os.getcwd")
        async def value(self, getcwd, other):
            return getcwd, other

        @fixture
        def other(self):
            return "other"

        def test_x(self):
            self.assertIsInstance(self.value[0], mock.Mock)
            self.assertEqual(self.value[1], "other")

    assert run(Test).passed == ["test_x"]


def test_a_fixture_that_is_passed_the_class_may_say_so_by_classmethod():
    class Test(AsyncTestCase):
        @fixture(scope="class")
        @classmethod
        async def name(cls):
            yield cls.__name__

        async def test_x(self, name):
            self.assertEqual((name, self.name), ("Test", "Test"))

    assert run(Test).wasSuccessful()


def names(nodes):
    return [node.fixture.name for node in nodes]


# Order.


def test_wider_scopes_come_first_then_dependencies_then_bases_then_the_order_of_definition():
    class Base:
        @fixture
        def base(self): ...

    class Mixin(Base):
        @fixture
        def needs_late(self, late): ...

        @fixture
        def early(self): ...

        @fixture
        def late(self): ...

        @fixture(scope="session")
        def session(cls): ...

        @fixture(scope="class")
        def of_class(cls): ...

        @fixture(scope="module")
        def module(cls): ...

        @fixture(scope="package")
        def package(cls): ...

    class Test(Mixin, AsyncTestCase): ...

    plan = plans.plan_of(Test)
    wide = ["session", "package", "module", "of_class"]
    assert names(plan.whole) == [*wide, "base", "late", "needs_late", "early"]
    assert names(plan.shared) == wide
    assert names(plan.usual.own) == ["base", "late", "needs_late", "early"]


def test_of_two_mixins_the_last_is_the_base_of_the_first():
    class First:
        @fixture
        def a(self): ...

    class Second:
        @fixture
        def b(self): ...

    class Test(First, Second, AsyncTestCase):
        @fixture
        def c(self): ...

    assert names(plans.plan_of(Test).whole) == ["b", "a", "c"]


# Names.


def test_an_override_may_name_what_it_overrides_through_several_levels():
    class Base:
        @fixture
        def value(self):
            return ["base"]

    class Middle(Base):
        @fixture
        async def value(self, value):
            return [*value, "middle"]

    class Test(Middle, AsyncTestCase):
        @fixture
        def value(self, value):
            return [*value, "test"]

        def test_x(self, value):
            self.assertEqual(value, ["base", "middle", "test"])

    assert run(Test).passed == ["test_x"]


def test_a_class_hides_a_fixture_by_anything_of_its_name():
    class Base:
        @fixture
        def value(self):
            raise AssertionError("it is not asked for")

    class Test(Base, AsyncTestCase):
        value = None

        def test_x(self):
            self.assertIsNone(self.value)

    assert run(Test).passed == ["test_x"]


def test_classes_share_a_node_where_its_parameters_mean_the_same():
    class Database:
        @fixture(scope="session")
        def url(cls): ...

        @fixture(scope="session")
        def pool(cls, url): ...

    class One(Database, AsyncTestCase): ...

    class Two(Database, AsyncTestCase): ...

    class Other(Database, AsyncTestCase):
        @fixture(scope="session")
        def url(cls): ...

    one, two, other = ({n.fixture.name: n for n in plans.plan_of(cls).whole} for cls in (One, Two, Other))
    assert one == two
    assert one["pool"] is not other["pool"]


def test_a_fixture_may_be_named_otherwise_than_its_function():
    class Test(AsyncTestCase):
        @fixture(name="database")
        def make_database(self):
            return "database"

        def test_x(self, database):
            self.assertEqual(database, self.database)

    assert run(Test).passed == ["test_x"]


def test_fixtures_of_the_module_are_asked_for_by_name_also_below_the_class():
    result = run_module("""
        @asyncunit.fixture
        def above(): return "above"

        class Test(asyncunit.AsyncTestCase):
            @asyncunit.fixture
            def own(self, above): return f"own {above}"

            async def test_x(self, above, below, own):
                self.assertEqual((above, below, own), ("above", "below", "own above"))

            def test_y(self):
                self.assertFalse(hasattr(self, "above"))

        @asyncunit.fixture
        async def below(): return "below"
    """)
    assert result.passed == ["test_x", "test_y"]


def test_a_fixture_of_the_module_may_be_for_all_of_it():
    notes = []
    result = run_module(
        """
        class Test(asyncunit.AsyncTestCase):
            async def test_x(self): note("test")
        class Other(Test): ...

        @asyncunit.fixture(autouse=True)
        def each(): note("each")

        @asyncunit.fixture(scope="module", autouse=True)
        async def once(): note("once")
        """,
        note=notes.append,
    )
    assert result.wasSuccessful()
    assert notes == ["once", "each", "test", "each", "test"]


def test_a_mixin_finds_the_fixtures_of_the_module_that_it_stands_in():
    source = """
        @asyncunit.fixture
        def helper(): return "helper"

        class Mixin:
            @asyncunit.fixture
            def value(self, helper): return f"value of {helper}"
    """
    with module_of(source) as module:

        class Test(module.Mixin, AsyncTestCase):
            def test_x(self):
                self.assertEqual(self.value, "value of helper")

        assert run(Test).passed == ["test_x"]


# What is wrong with a class, said when it is defined.


def test_an_unknown_name_is_refused():
    with pytest.raises(DefinitionError) as caught:

        class Test(AsyncTestCase):
            @fixture
            def pool(self): ...

            @fixture
            def connection(self, pol): ...

    assert ", the fixture 'connection' of " in str(caught.value)
    assert f"({__file__}:" in str(caught.value)
    assert str(caught.value).endswith("names 'pol', and there is no fixture of that name. Did you mean 'pool'?")


def test_an_unknown_name_that_is_near_to_none_says_where_fixtures_are_looked_for():
    with pytest.raises(DefinitionError, match="Define it in the class, in a base, or in the module above the class"):

        class Test(AsyncTestCase):
            @fixture
            def connection(self, xyz): ...


def test_a_fixture_that_names_itself_needs_one_to_override():
    with pytest.raises(DefinitionError, match="It names itself, and there is no fixture of that name in a base"):

        class Test(AsyncTestCase):
            @fixture
            def connection(self, connection): ...


def test_a_circle_is_refused_with_all_that_are_in_it():
    class One:
        @fixture
        def a(self, b): ...

    class Two:
        @fixture
        def b(self, c): ...

    with pytest.raises(DefinitionError) as caught:

        class Test(One, Two, AsyncTestCase):
            @fixture
            def c(self, a): ...

    message = str(caught.value)
    assert "these fixtures need each other:\n" in message
    for name, needed in ("ab", "bc", "ca"):
        assert f"names {needed!r}" in message
        assert f"fixture {name!r} of " in message


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope > Scope.FUNCTION])
def test_a_scope_that_depends_on_a_narrower_one_is_refused(scope):
    with pytest.raises(DefinitionError) as caught:

        class Test(AsyncTestCase):
            @fixture
            def narrow(self): ...

            @fixture(scope=scope)
            def wide(cls, narrow): ...

    assert f"has scope '{scope}' and names the fixture 'narrow'" in str(caught.value)
    assert re.search(rf"Write scope='{scope}' at .*py:\d+, or scope='function' at .*py:\d+\.$", str(caught.value))
    assert re.search(r"Test \(.*test_fixtures.py:\d+\), the fixture 'wide'", str(caught.value))


def test_a_fixture_wider_than_the_loop_scope_that_is_named_is_refused():
    class Database:
        @fixture(scope="module")
        async def pool(cls): ...

    with pytest.raises(LoopScopeError) as caught:

        class Test(Database, ClassLoopTestCase): ...

    assert "has loop_scope = \"class\" (from ClassLoopTestCase), but the fixture 'pool' of " in str(caught.value)
    assert "Write in " in str(caught.value)
    assert 'loop_scope = "module"' in str(caught.value)


def test_so_is_one_that_only_a_test_names():
    with pytest.raises(LoopScopeError, match="'pool'"):

        class Test(ClassLoopTestCase):
            @fixture(scope="session", autouse=False)
            async def pool(cls): ...

            async def test_x(self, pool): ...


def test_a_fixture_that_would_hide_a_method_of_unittest_is_refused():
    with pytest.raises(DefinitionError, match="would hide 'run' of the test case itself"):

        class Test(AsyncTestCase):
            @fixture
            def run(self): ...


def test_a_fixture_without_its_first_parameter_is_refused():
    with pytest.raises(DefinitionError, match=r"expected cls as the first: def pool\(cls\)"):

        class Test(AsyncTestCase):
            @fixture(scope="class")
            def pool(): ...


@pytest.mark.parametrize(
    "decorator",
    [classmethod, staticmethod, property, functools.cached_property, contextlib.contextmanager, unittest.skip("why")],
)
def test_a_fixture_under_another_decorator_is_refused(decorator):
    with pytest.raises(DefinitionError, match="stands under another decorator, which makes <.*> of it. Take that away"):

        class Test(AsyncTestCase):
            pool = decorator(fixture(scope="class")(lambda cls: None))


@pytest.mark.parametrize("name", ["_outcome", "loop_scope", "asyncSetUpClass", "id"])
def test_a_fixture_that_would_hide_something_of_the_test_case_is_refused(name):
    with pytest.raises(DefinitionError, match=f"would hide '{name}' of the test case itself"):
        type("Test", (AsyncTestCase,), {name: fixture(lambda self: None)})


@pytest.mark.parametrize("first", ["request", "url"])
def test_a_forgotten_self_is_refused(first):
    class Database:
        @fixture
        def url(self): ...

    written = {"request": lambda request: request.param, "url": lambda url: url}[first]
    with pytest.raises(DefinitionError, match=rf"Write def <lambda>\(self, {first}\)|Write def pool\(self, {first}\)"):
        type("Test", (Database, AsyncTestCase), {"pool": fixture(written)})


def test_a_parameter_that_cannot_be_filled_by_keyword_is_refused():
    with pytest.raises(DefinitionError, match="takes 'url' by position only"):

        class Test(AsyncTestCase):
            @fixture
            def url(self): ...

            @fixture
            def pool(self, url, /): ...


def test_a_name_that_is_hidden_says_by_what():
    class Database:
        @fixture
        def url(self): ...

        @fixture
        def pool(self, url): ...

    with pytest.raises(DefinitionError, match=r"it is None, which hides the fixture of a base; make it a fixture"):

        class Test(Database, AsyncTestCase):
            url = None


def test_two_fixtures_of_one_name_in_a_module_are_refused():
    result = run_module("""
        class Test(asyncunit.AsyncTestCase):
            def test_x(self): ...

        @asyncunit.fixture(name="value")
        def make(): ...

        @asyncunit.fixture
        def value(): ...
    """)
    assert "have one name in module_" in str(result.only_error())


def test_a_class_may_have_attributes_that_answer_to_everything():
    class Lazy:
        @property
        def __class__(self):
            raise AssertionError("it is not to be woken")

        def __getattr__(self, name):
            raise AssertionError("it is not to be woken")

    lazy = Lazy()

    class Test(AsyncTestCase):
        call = mock.call
        other = lazy

        def test_x(self):
            self.assertIs(self.call, mock.call)
            self.assertIs(self.other, lazy)

    assert run(Test).passed == ["test_x"]


@pytest.mark.parametrize("base", [AsyncTestCase, ClassLoopTestCase])
def test_a_fixture_below_the_class_is_for_all_of_the_module_whatever_the_loop(base):
    notes = []
    result = run_module(
        """
        class Test(Base):
            async def test_x(self, named): note(named)

        @asyncunit.fixture(autouse=True)
        def each(): note("each")

        @asyncunit.fixture
        def named(): return "named"
        """,
        note=notes.append,
        Base=base,
    )
    assert result.wasSuccessful()
    assert notes == ["each", "named"]


def test_a_fixture_below_the_class_that_is_wider_than_its_loop_is_refused_when_it_runs():
    result = run_module("""
        class Test(asyncunit.ClassLoopTestCase):
            async def test_x(self): ...

        @asyncunit.fixture(scope="module", autouse=True)
        async def wide(): ...
    """)
    assert isinstance(result.only_error(), LoopScopeError)


def test_two_things_of_one_name_are_refused():
    with pytest.raises(DefinitionError, match="has the name of something else in that class"):

        class Test(AsyncTestCase):
            @fixture(name="pool")
            def make_pool(self): ...

            pool = 1


def test_at_the_top_of_a_module_a_fixture_has_no_self():
    with pytest.raises(DefinitionError, match="At the top of a module a fixture has no parameter 'self'"):
        run_module("""
            @asyncunit.fixture(autouse=True)
            def value(self): ...

            class Test(asyncunit.AsyncTestCase):
                def test_x(self): ...
        """)


def test_params_of_a_fixture_below_the_class_are_refused():
    result = run_module("""
        class Test(asyncunit.AsyncTestCase):
            def test_x(self, value): ...

        @asyncunit.fixture(params=[1, 2])
        def value(request): return request.param
    """)
    assert "has params and stands below" in str(result.only_error())
    assert "Move it above the class" in str(result.only_error())
