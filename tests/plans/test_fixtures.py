import functools
import inspect
import pydoc
import threading
import unittest
from unittest import mock

import pytest

from asyncunit import AsyncTestCase, ConfigurationError, DefinitionError, FixtureNotSetUpError, Scope, fixture
from asyncunit.plans.fixtures import Fixture
from tests import typed_suite
from tests.support import run


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
