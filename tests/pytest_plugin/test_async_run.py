import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests.pytest_plugin.running import in_a_process, outcomes
from tests.support import python

# Functions and fixtures.

FUNCTIONS = """
    loops = []

    @asyncunit.fixture(scope="session")
    async def pool():
        loops.append("up")
        yield asyncio.get_running_loop()
        loops.append("down")
        print("pool", loops)

    @asyncunit.fixture
    async def connection(pool):
        async with asyncio.timeout(5):
            yield pool, asyncio.current_task()

    @pytest.mark.asyncunit
    async def test_one(connection, pool):
        assert connection == (asyncio.get_running_loop(), asyncio.current_task())

    @pytest.mark.asyncunit
    class TestGroup:
        @pytest.mark.parametrize("number", [1, 2])
        async def test_method(self, number, connection):
            assert connection[0] is asyncio.get_running_loop()

    def test_sync(connection):
        assert not connection[0].is_running()

    @pytest.mark.asyncunit
    async def test_own_loop():
        loops.append(asyncio.get_running_loop())

    @pytest.mark.asyncunit
    async def test_another_own_loop(pool):
        assert asyncio.get_running_loop() is pool is not loops[-1]
"""


def test_functions_run_on_the_loop_of_the_widest_fixture_that_they_ask_for(run):
    result = run(FUNCTIONS, "-s")
    assert outcomes(result) == {"passed": 6}
    result.stdout.fnmatch_lines("*pool ['up', *'down'?")


def test_an_unmarked_async_function_is_left_alone_in_strict_mode(run):
    assert outcomes(run("async def test_x(): pass")) == {"failed": 1}


@pytest.mark.parametrize("option", ["--asyncunit-mode=auto", "--asyncio-mode=auto"])
def test_auto_mode_takes_every_async_function_and_fixture(run, option):
    result = run(
        """
        @pytest.fixture(autouse=True)
        async def around(request):
            request.node.loop = asyncio.get_running_loop()

        async def test_x(request):
            assert request.node.loop is asyncio.get_running_loop()
        """,
        option,
    )
    assert outcomes(result) == {"passed": 1}


def test_anyios_and_trios_functions_are_left_alone_in_auto_mode(run):
    result = run(
        """
        @pytest.mark.anyio
        async def test_anyio(): pass

        @pytest.mark.trio
        async def test_trio(): pass
        """,
        "--asyncunit-mode=auto",
        "-Wignore::pytest.PytestUnknownMarkWarning",
    )
    assert outcomes(result) == {"failed": 2}


def test_fixtures_of_a_conftest_and_of_classes_have_params_names_and_requests(run):
    conftest = """
        import asyncunit

        @asyncunit.fixture(params=[1, asyncunit.param(2, id="two")], name="number")
        async def _number(request):
            return request.param

        @asyncunit.fixture(autouse=True, scope="module")
        async def around(request):
            yield request.node.name
    """
    result = run(
        """
        @pytest.mark.asyncunit
        class TestNumbers:
            @asyncunit.fixture
            async def doubled(self, number, tmp_path):
                return number * 2

            async def test_x(self, doubled, number, around):
                assert doubled == 2 * number and around.endswith(".py")
        """,
        "-v",
        conftest=conftest,
    )
    assert outcomes(result) == {"passed": 2}
    result.stdout.fnmatch_lines(["*::test_x?1? PASSED*", "*::test_x?two? PASSED*"])


def test_a_fixture_is_overridden_and_asked_for_from_a_sync_one(run):
    conftest = "import asyncunit\n\n@asyncunit.fixture\nasync def value():\n    return 1\n"
    result = run(
        """
        @asyncunit.fixture
        async def value(value):
            return value + 1

        @pytest.fixture
        def dynamic(request):
            return request.getfixturevalue("value")

        @pytest.mark.asyncunit
        async def test_x(dynamic):
            assert dynamic == 2
        """,
        conftest=conftest,
    )
    assert outcomes(result) == {"passed": 1}


def test_a_package_fixture_lives_where_pytest_places_it(run, pytester):
    for name in ("a", "a/b"):
        pytester.mkpydir(name)
        pytester.path.joinpath(name, "test_x.py").write_text(
            "import asyncio, pytest\n\n@pytest.mark.asyncunit\nasync def test_x(lasting):\n"
            "    assert lasting is asyncio.get_running_loop()\n"
        )
    pytester.path.joinpath("a", "conftest.py").write_text(
        "import asyncio, asyncunit\n\n@asyncunit.fixture(scope='package')\nasync def lasting():\n"
        "    yield asyncio.get_running_loop()\n    print('down once')\n"
    )
    result = run(None, "-s")
    assert outcomes(result) == {"passed": 2}
    assert result.stdout.str().count("down once") == 1


def test_a_fixture_that_lives_on_another_loop_is_set_up_anew(run):
    result = run(
        """
        @asyncunit.fixture(scope="module")
        async def loop():
            return asyncio.get_running_loop()

        @asyncunit.fixture(scope="session")
        async def wide(): pass

        @pytest.mark.asyncunit
        async def test_module(loop):
            assert loop is asyncio.get_running_loop()

        @pytest.mark.asyncunit
        async def test_session(wide, loop):
            assert loop is asyncio.get_running_loop()

        @pytest.mark.asyncunit
        async def test_module_again(loop):
            assert loop is asyncio.get_running_loop()
        """
    )
    assert outcomes(result) == {"passed": 3}


NOTED = """
    notes = []

    @asyncunit.fixture(scope="module")
    async def shared():
        notes.append("shared up")
        yield asyncio.get_running_loop()
        notes.append("shared down")

    @asyncunit.fixture
    def behind(shared):
        return shared

    @asyncunit.fixture(scope="session")
    async def wide():
        yield
        print(notes)
"""


def test_a_test_case_runs_on_the_loop_of_the_fixture_of_a_package_around_its_own(run, pytester):
    conftest = """
        import asyncio, asyncunit

        @asyncunit.fixture(scope="package")
        async def of_package():
            yield asyncio.get_running_loop()

        @asyncunit.fixture
        def seen(of_package, request):
            request.instance.seen = of_package
    """
    text = """
        import asyncio, asyncunit, pytest

        @pytest.mark.usefixtures("seen")
        class TestIt(asyncunit.AsyncTestCase):
            async def test_it(self):
                assert self.seen is asyncio.get_running_loop()
    """
    for name in ("outer", "outer/inner"):
        pytester.mkpydir(name)
    explicit = text.replace("asyncunit.AsyncTestCase", "asyncunit.PackageLoopTestCase")
    files = {"conftest": conftest, "outer/conftest": conftest, "outer/test_in_package": text, "test_in_none": text}
    files |= {"outer/inner/test_inner": text, "outer/inner/test_explicit": explicit}
    result = run(None, "-v", **files)
    assert outcomes(result) == {"passed": 3, "errors": 1}
    result.stdout.fnmatch_lines(["*needs a loop that lasts for the session*", "*test_explicit.py::TestIt::test_it*"])


def test_a_fixture_stays_on_each_loop_that_it_is_needed_on(run):
    text = """
    class TestCase(asyncunit.AsyncTestCase):
        loop_scope = "session"

        async def test_case(self, shared):
            assert shared is asyncio.get_running_loop()

    async def test_module(shared):
        assert shared is asyncio.get_running_loop()

    async def test_session(wide, shared, behind):
        assert shared is behind is asyncio.get_running_loop()

    async def test_module_again(shared, behind):
        assert shared is behind is asyncio.get_running_loop()

    async def test_session_again(wide, shared):
        assert shared is asyncio.get_running_loop()
    """
    result = run(NOTED + text, "-s", "--asyncunit-mode=auto")
    assert outcomes(result) == {"passed": 5}
    result.stdout.fnmatch_lines(["*['shared up', 'shared up', 'shared down', 'shared down'?"])


def test_what_pytest_sets_up_for_test_cases_is_on_the_loop_of_each(run):
    result = run(
        """
        @pytest.fixture(scope="module", autouse=True)
        async def shared(request):
            yield asyncio.get_running_loop()

        @pytest.fixture(autouse=True)
        def seen(shared, request):
            request.instance.seen = shared

        class Test:
            async def test_it(self):
                assert self.seen is asyncio.get_running_loop()

        class TestModule(Test, asyncunit.ModuleLoopTestCase): pass
        class TestSession(Test, asyncunit.SessionLoopTestCase): pass
        class TestModuleAgain(Test, asyncunit.ModuleLoopTestCase): pass
        Test = None
        """
    )
    assert outcomes(result) == {"passed": 3}


def test_a_fixture_of_functions_that_has_failed_is_not_set_up_again_for_a_case_and_one_that_was_cut_is(run):
    result = run(
        """
        ups = []

        @asyncunit.fixture(scope="session")
        async def failing():
            ups.append("failing")
            raise ValueError("as it should")

        @asyncunit.fixture(scope="session")
        def failing_sync():
            ups.append("failing_sync")
            raise ValueError("as it should")

        @asyncunit.fixture(scope="module")
        async def cut():
            ups.append("cut")
            if ups.count("cut") < 3:
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            yield

        async def test_failing(failing): pass
        async def test_failing_sync(failing_sync): pass
        async def test_cut(cut): pass
        async def test_cut_again(cut): pass

        class TestCase(asyncunit.AsyncTestCase):
            async def test_1(self, failing): pass
            async def test_2(self, failing_sync): pass

        class TestOther(asyncunit.AsyncTestCase):
            async def test_3(self, cut): pass

        async def test_last(cut):
            assert ups == ["failing", "failing_sync", "cut", "cut", "cut"]
        """,
        "--asyncunit-mode=auto",
    )
    assert outcomes(result) == {"passed": 2, "failed": 2, "errors": 4}


@pytest.mark.parametrize("hook", ["", "async def asyncSetUpModule(): pass"])
def test_a_fixture_that_was_cut_is_tried_once_for_all_variants_of_a_test_function(run, hook):
    result = run(
        f"""
        ups = []

        {hook}

        @asyncunit.fixture(scope="session")
        async def cut():
            ups.append("cut")
            if len(ups) < 3:
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            yield

        @asyncunit.fixture(params=["a", "b"])
        def letter(request): return request.param

        @pytest.mark.parametrize("number", [1, 2])
        async def test_numbers(number, cut): pass
        async def test_letters(letter, cut): pass
        async def test_last(cut, letter):
            assert ups == ["cut", "cut", "cut"]
        """,
        "--asyncunit-mode=auto",
    )
    assert outcomes(result) == {"passed": 2, "errors": 4}


def test_a_fixture_that_was_cut_is_tried_for_each_variant_that_has_fixtures_of_a_class_of_its_own(run):
    result = run(
        """
        ups = []

        @asyncunit.fixture(scope="module")
        async def cut():
            ups.append("cut")
            if len(ups) < 3:
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            yield

        @asyncunit.fixture(scope="class")
        def of_class(cut): pass

        @pytest.mark.parametrize("number", [1, 2, 3])
        async def test_numbers(number, of_class): assert ups == ["cut", "cut", "cut"]
        """,
        "--asyncunit-mode=auto",
    )
    assert outcomes(result) == {"passed": 1, "errors": 2}


# As pytest-rerunfailures does it.
RERUNS = """
    from _pytest.runner import runtestprotocol

    def pytest_runtest_protocol(item, nextitem):
        for log in (False, True):
            item._initrequest()
            runtestprotocol(item, nextitem=nextitem, log=log)
            for definitions in item._fixtureinfo.name2fixturedefs.values():
                if definitions[-1].cached_result is not None and definitions[-1].cached_result[2] is not None:
                    definitions[-1].cached_result = None
                    definitions[-1]._finalizers.clear()
        return True
"""


def test_a_fixture_that_has_failed_is_set_up_again_where_its_test_is_run_once_more(run):
    result = run(
        """
        ups = []

        @asyncunit.fixture(scope="module")
        async def flaky():
            ups.append("async")
            if len(ups) == 1:
                raise ValueError("once")

        @asyncunit.fixture(scope="session")
        def flaky_sync():
            ups.append("sync")
            if ups.count("sync") == 1:
                raise ValueError("once")
            yield

        async def test_async(flaky): pass
        async def test_sync(flaky_sync): pass

        class TestIt(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="session", autouse=False)
            async def flaky_case(cls):
                ups.append("case")
                if ups.count("case") == 1:
                    raise ValueError("once")

            async def test_case(self, flaky_case): pass

        def test_last():
            assert ups == ["async", "async", "sync", "sync", "case", "case"]
        """,
        "--asyncunit-mode=auto",
        conftest=RERUNS,
    )
    assert outcomes(result) == {"passed": 4}


@pytest.mark.parametrize("scope", ["session", "package"])
@pytest.mark.parametrize("place", [".", "pkg"])
def test_what_cases_and_functions_set_up_goes_down_in_reverse(run, pytester, scope, place):
    if place == "pkg":
        pytester.mkpydir("pkg")
    text = """
        import asyncunit

        def making(name, scope):
            @asyncunit.fixture(scope=scope, name=name)
            async def made(*_):
                print(name, "up")
                yield
                print(name, "down")
            return made

        one = making("one", "session")
        two = making("two", "SCOPE")
        three = making("three", "session")

        class Mixin:
            in_class = making("in_class", "SCOPE")

        class TestA(Mixin, asyncunit.AsyncTestCase):
            async def test_a(self, three): pass

        async def test_1(one): pass

        class TestB(asyncunit.AsyncTestCase):
            own = making("own", "SCOPE")
            async def test_b(self): pass

        async def test_2(two): pass
    """
    (pytester.path / place / "test_it.py").write_text(textwrap.dedent(text).replace("SCOPE", scope))
    result = run(None, "-sq", "--asyncunit-mode=auto")
    assert outcomes(result) == {"passed": 4}
    lines = [line.lstrip(".") for line in result.outlines]
    down = [line.removesuffix(" down") for line in lines if line.endswith(" down")]
    # What was set up last goes first, and all of the package before the session.
    in_reverse = ["two", "own", "one", "three", "in_class"]
    assert down == (in_reverse if scope == "session" else ["two", "own", "in_class", "one", "three"])


def test_context_variables_go_from_sync_fixtures_to_async_ones_and_back(run):
    result = run(
        """
        variable = contextvars.ContextVar("variable", default=())

        @pytest.fixture
        def one():
            token = variable.set((*variable.get(), 1))
            yield
            variable.reset(token)

        @asyncunit.fixture
        async def two(one):
            variable.set((*variable.get(), 2))
            yield
            assert variable.get() == (1, 2)

        @pytest.fixture
        def three(two):
            assert variable.get() == (1, 2)

        @pytest.mark.asyncunit
        async def test_x(three):
            assert variable.get() == (1, 2)
            variable.set("of the test")

        @pytest.mark.asyncunit
        async def test_y():
            assert variable.get() == ()

        def test_z():
            assert variable.get() == ()
        """
    )
    assert outcomes(result) == {"passed": 3}


def test_a_sync_module_fixture_is_shared_by_async_functions(run):
    result = run(
        """
        import asyncunit

        @asyncunit.fixture(scope="module")
        def made():
            return []

        @pytest.mark.asyncunit
        async def test_1(made): made.append(1)

        @pytest.mark.asyncunit
        async def test_2(made): assert made == [1]
        """
    )
    assert outcomes(result) == {"passed": 2}


def test_an_async_fixture_cannot_be_asked_for_while_the_loop_runs_and_others_still_can(run):
    result = run(
        """
        @pytest.fixture(scope="module")
        async def value(): return 42

        async def test_1(request): request.getfixturevalue("value")

        async def test_2(value): assert value == 42
        """,
        "--asyncunit-mode=auto",
    )
    assert outcomes(result) == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines("*RunningLoopError: the fixture 'value' * is asked for by getfixturevalue() while*")


def test_a_class_scoped_fixture_of_a_class_is_given_the_class(run):
    result = run(
        """
        import asyncunit

        class TestPlain:
            @asyncunit.fixture(scope="class")
            def sync(cls):
                cls.made = 1

            @asyncunit.fixture(scope="class")
            async def awaited(cls):
                return cls

            @pytest.mark.asyncunit
            async def test_x(self, sync, awaited):
                assert awaited is TestPlain
                assert self.made == 1
        """,
        "-Werror",
    )
    assert outcomes(result) == {"passed": 1}


def test_a_session_fixture_that_crashes_ends_the_test_and_is_set_up_anew(run):
    result = run(
        """
        started = []

        @asyncunit.fixture(scope="session")
        async def server():
            crash = asyncio.Event()
            started.append(crash)

            async def serve():
                await crash.wait()
                raise OSError("the server crashed")

            async with asyncio.TaskGroup() as group:
                task = group.create_task(serve())
                yield crash
                task.cancel()

        @pytest.mark.asyncunit
        async def test_crash(server):
            server.set()
            await asyncio.Event().wait()

        @pytest.mark.asyncunit
        async def test_next(server):
            assert len(started) == 2
        """
    )
    assert outcomes(result) == {"failed": 1, "passed": 1}
    result.stdout.fnmatch_lines("*OSError: the server crashed*")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@pytest.mark.asyncunit('session')", "*::test_x: the marker asyncunit has the positional argument 'session'*"),
        ("@pytest.mark.asyncunit(lop_scope='class')", "*there is no key 'lop_scope'*Did you mean 'loop_scope'?*"),
        ("@pytest.mark.asyncunit(timeout=-1)", "*::test_x: the marker asyncunit: timeout is -1; expected a number*"),
        ("@pytest.mark.asyncunit(mode='auto')", "*mode is for the whole run*"),
        ("@asyncunit.settings(timeout=2)\n@pytest.mark.asyncunit(timeout=1)", "*says timeout=1.0, and*timeout=2.0; *"),
        (
            "@pytest.mark.asyncunit(loop_scope='class')",
            "*loop_scope = \"function\"*fixture 'wide'*needs a loop*session*",
        ),
    ],
)
def test_what_is_wrong_with_a_marker_is_a_collection_error_with_line_node_and_fix(run, text, message):
    fixture = "@asyncunit.fixture(scope='session')\nasync def wide(): pass\n"
    if "class" in text and "lop" not in text:
        message = message.replace('"function"', '"class"')
    result = run(fixture + text + "\nasync def test_x(wide): pass\n")
    assert outcomes(result) == {"errors": 1}
    result.stdout.fnmatch_lines(message)
    result.stdout.fnmatch_lines("test_*.py:6: test_*.py::test_x: *")  # the line of its first decorator


def test_a_sync_test_with_a_marker_is_warned_about_and_a_generator_refused(run):
    result = run(
        """
        pytestmark = pytest.mark.asyncunit

        def test_sync(): pass

        async def test_generator():
            yield
        """
    )
    assert outcomes(result) == {"passed": 1, "failed": 1, "warnings": 1}
    result.stdout.fnmatch_lines(["*test_generator is an async generator*", "*but it is not an async function*"])


def test_a_leaked_task_fails_where_it_is_to_and_else_warns(run):
    result = run(
        """
        async def leak():
            asyncio.ensure_future(asyncio.Event().wait())

        @pytest.mark.asyncunit(fail_on="leaked_tasks")
        async def test_fails(): await leak()

        @pytest.mark.asyncunit
        async def test_warns(): await leak()

        @pytest.mark.asyncio
        async def test_of_the_peer(): await leak()
        """,
        "-Werror",
    )
    assert outcomes(result) == {"failed": 2, "passed": 1, "warnings": 1}
    result.stdout.fnmatch_lines(
        [
            "*LeftBehindError: *test_fails (*.test_fails) left behind:*",
            "*a pending task *",
            "*AsyncUnitWarning: *test_warns (*) left behind:*",
            "*AsyncUnitWarning: *test_of_the_peer (*) left behind:*",
        ]
    )


def test_a_timeout_names_the_step_and_what_waits(run):
    result = run("@pytest.mark.asyncunit(timeout=0.05)\nasync def test_x(): await asyncio.Event().wait()\n")
    assert outcomes(result) == {"failed": 1}
    result.stdout.fnmatch_lines("*test_x() did not end within its timeout of 0.05 seconds*")


def test_loop_factories_come_from_a_hook_and_are_chosen_by_a_marker(run):
    conftest = """
        import asyncio

        class Special(asyncio.SelectorEventLoop): pass

        def pytest_asyncunit_loop_factories(config, item):
            return {"plain": asyncio.SelectorEventLoop, "special": Special}
    """
    result = run(
        """
        @asyncunit.fixture(scope="module")
        async def kind():
            return type(asyncio.get_running_loop()).__name__

        @pytest.mark.asyncunit
        async def test_all(kind):
            assert type(asyncio.get_running_loop()).__name__ == kind

        @pytest.mark.asyncunit(loop_factories=["special", "missing"])
        async def test_some(kind):
            assert kind == "Special"
        """,
        "-v",
        "-rs",
        conftest=conftest,
    )
    assert outcomes(result) == {"passed": 3, "skipped": 1}
    result.stdout.fnmatch_lines(["*::test_all?plain?*", "*'missing' is not available*plain, special*"])


def test_loop_factories_of_a_directory_are_for_what_is_in_it(run, pytester):
    text = "import pytest\n\n@pytest.mark.asyncunit\nasync def test_x(): pass\n"
    (pytester.mkpydir("inner") / "test_inner.py").write_text(text)
    (pytester.path / "inner" / "conftest.py").write_text(
        "import asyncio\n\ndef pytest_asyncunit_loop_factories(config, item):\n"
        "    return {'a': asyncio.new_event_loop, 'b': asyncio.new_event_loop}\n"
    )
    pytester.makepyfile(test_first=text)
    result = run(None, "-v", "test_first.py", "inner")
    assert outcomes(result) == {"passed": 3}
    result.stdout.fnmatch_lines(["*test_first.py::test_x PASSED*", "*::test_x?a? PASSED*", "*::test_x?b? PASSED*"])


def test_a_marker_gives_a_class_several_loop_factories(run):
    factories = "loop_factories={'one': asyncio.new_event_loop, 'two': asyncio.SelectorEventLoop}"
    result = run(
        f"""
        import asyncio, asyncunit, pytest

        @pytest.mark.asyncunit({factories})
        class TestCase(asyncunit.ClassLoopTestCase):
            async def test_case(self): pass

        @pytest.mark.asyncunit({factories})
        class TestOfPytest:
            async def test_method(self): pass
        """,
        "-v",
    )
    for name in ("TestCase[[]one]::test_case", "TestCase[[]two]::test_case"):
        result.stdout.fnmatch_lines([f"*::{name} PASSED*"])
    for name in ("TestOfPytest::test_method[[]one]", "TestOfPytest::test_method[[]two]"):
        result.stdout.fnmatch_lines([f"*::{name} PASSED*"])


def test_the_loop_factories_of_the_command_line_are_for_test_cases_too(run):
    result = run(
        "import asyncunit\n\nclass TestCase(asyncunit.ClassLoopTestCase):\n    async def test_case(self): pass\n",
        "--asyncunit-loop-factories=one=asyncio:SelectorEventLoop,two=asyncio:new_event_loop",
        "-v",
    )
    for name in ("one", "two"):
        result.stdout.fnmatch_lines([f"*::TestCase[[]{name}]::test_case PASSED*"])


def test_configured_loop_factories_that_cannot_be_imported_skip_their_tests(run):
    result = run(
        "@pytest.mark.asyncunit\nasync def test_x(): pass\n",
        "--asyncunit-loop-factories=own=asyncio:SelectorEventLoop,gone=no_such_module:Loop",
        "-rs",
    )
    assert outcomes(result) == {"passed": 1, "skipped": 1}
    result.stdout.fnmatch_lines("*cannot be imported: No module named 'no_such_module'*")


def test_markers_that_a_hook_adds_count(run):
    conftest = """
        import pytest, asyncunit

        def pytest_collection_modifyitems(items):
            for item in items:
                if asyncunit.is_async_test(item):
                    item.add_marker(pytest.mark.asyncunit(loop_scope="session"), append=False)
    """
    result = run(
        """
        loops = set()

        @pytest.mark.asyncunit
        async def test_x(): loops.add(asyncio.get_running_loop())

        @pytest.mark.asyncunit
        async def test_y(request):
            assert asyncio.get_running_loop() in loops
            assert request.node.get_closest_marker("asyncunit").kwargs["loop_scope"] == "session"
        """,
        conftest=conftest,
    )
    assert outcomes(result) == {"passed": 2}


# Test cases.

CASES = """
    calls = []

    def setUpModule(): calls.append("setUpModule")
    async def asyncSetUpModule():
        calls.append("asyncSetUpModule")
        asyncunit.addAsyncModuleCleanup(cleanup, "module")
    async def asyncTearDownModule(): calls.append("asyncTearDownModule")
    def tearDownModule(): calls.append("tearDownModule")
    async def cleanup(what):
        calls.append(f"cleanup {what}")
        if what == "module":
            print(" ".join(calls))

    class TestCase(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls): calls.append("setUpClass")
        @classmethod
        async def asyncSetUpClass(cls):
            cls.addAsyncClassCleanup(cleanup, "class")
            calls.append("asyncSetUpClass")
        @classmethod
        async def asyncTearDownClass(cls): calls.append("asyncTearDownClass")
        @classmethod
        def tearDownClass(cls): calls.append("tearDownClass")
        def setUp(self): calls.append("setUp")
        async def asyncSetUp(self):
            self.addAsyncCleanup(cleanup, "test")
            calls.append("asyncSetUp")
        async def asyncTearDown(self): calls.append("asyncTearDown")
        def tearDown(self): calls.append("tearDown")
        async def test_x(self): calls.append("test")
"""


def test_the_hooks_of_a_test_case_are_called_in_the_order_of_unittest(run, pytester):
    result = run(CASES, "-s")
    assert outcomes(result) == {"passed": 1}
    name = next(pytester.path.glob("test_*.py")).stem
    plain = python("-m", "unittest", name, cwd=pytester.path)
    assert plain.returncode == 0
    (line,) = [line for line in plain.stdout.splitlines() if line.startswith("setUpModule")]
    assert line in result.stdout.str()


def test_the_errors_of_the_tear_down_of_a_class_are_all_shown(run):
    result = run(
        """
        class TestIt(asyncunit.ClassLoopTestCase):
            @classmethod
            async def asyncTearDownClass(cls):
                asyncio.current_task().cancel()
                await asyncio.sleep(0)

            @classmethod
            def tearDownClass(cls):
                raise ValueError("of the tear-down")

            async def test_it(self): pass
        """
    )
    assert outcomes(result) == {"passed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["*ValueError: of the tear-down", "*CutShortError: *"])


def test_a_class_set_up_that_fails_is_an_error_of_each_test_with_the_original_error(run):
    result = run(
        """
        class TestCase(asyncunit.AsyncTestCase):
            @classmethod
            async def asyncSetUpClass(cls): raise OSError("no database")
            async def test_x(self): pass
            async def test_y(self): pass
        """
    )
    assert outcomes(result) == {"errors": 2}
    result.stdout.fnmatch_lines(["*ERROR at setup of TestCase.test_x*", "E *OSError: no database"])


def test_a_module_set_up_that_fails_is_tried_once(run):
    result = run(
        """
        tries = []

        async def asyncSetUpModule():
            print("tries", len(tries), "before")
            tries.append(1)
            raise OSError("no database")

        class TestOne(asyncunit.AsyncTestCase):
            async def test_x(self): pass

        class TestTwo(asyncunit.AsyncTestCase):
            async def test_x(self): pass
        """,
        "-s",
    )
    assert outcomes(result) == {"errors": 2}
    assert "tries 0 before" in result.stdout.str()
    assert "tries 1 before" not in result.stdout.str()


def test_async_fixtures_of_pytest_run_on_the_loop_of_a_test_case_in_its_task(run):
    result = run(
        """
        variable = contextvars.ContextVar("variable", default=None)

        @pytest.fixture(scope="module")
        async def wide(): return asyncio.get_running_loop()

        @pytest.fixture(scope="class")
        async def of_class(request, wide):
            request.cls.loop = asyncio.get_running_loop()

        @pytest.fixture
        async def of_test(request):
            request.instance.task = asyncio.current_task()
            variable.set("set")
            async with asyncio.timeout(5):
                yield
                assert asyncio.current_task() is request.instance.task

        @pytest.mark.usefixtures("of_class", "of_test")
        class TestCase(asyncunit.AsyncTestCase):
            async def asyncSetUp(self):
                assert asyncio.current_task() is self.task

            async def test_x(self):
                assert asyncio.get_running_loop() is self.loop
                assert asyncio.current_task() is self.task
                assert variable.get() == "set"

        def test_after():
            assert variable.get() is None
        """
    )
    assert outcomes(result) == {"passed": 2}


def test_effective_values_stand_on_the_marker_which_selects(run):
    text = """
        class TestCase(asyncunit.ModuleLoopTestCase):
            @pytest.mark.asyncunit(timeout=7)
            async def test_x(self): pass
            async def test_y(self): pass

        @pytest.mark.asyncunit
        async def test_function(): pass

        def test_sync(): pass

        @pytest.fixture(autouse=True)
        def shown(request):
            marker = request.node.get_closest_marker("asyncunit")
            print(request.node.name, marker and (marker.kwargs["loop_scope"], marker.kwargs["timeout"]))
    """
    result = run(text, "-s", "-m", "asyncunit", "--asyncunit-timeout=9")
    assert outcomes(result) == {"passed": 3, "deselected": 1}
    result.stdout.fnmatch_lines_random(
        ["*test_x ('module', 7.0)*", "*test_y ('module', 9.0)*", "*test_function ('function', 9.0)*"]
    )
    assert outcomes(run(text, "-m", "asyncunit(loop_scope='module')")) == {"passed": 2, "deselected": 2}


def test_a_marker_on_a_class_that_disagrees_with_its_attribute_is_a_collection_error(run):
    result = run(
        """
        @pytest.mark.asyncunit(loop_scope="class")
        class TestCase(asyncunit.SessionLoopTestCase):
            loop_scope = "session"
            async def test_x(self): pass
        """
    )
    assert outcomes(result) == {"errors": 1}
    result.stdout.fnmatch_lines("*TestCase says loop_scope = 'session' and*")


def test_subtests_expected_failures_and_skips_are_reported_as_pytest_does(run):
    result = run(
        """
        class TestCase(asyncunit.ClassLoopTestCase):
            @unittest.expectedFailure
            async def test_expected(self): assert False
            @unittest.skip("not now")
            async def test_skipped(self): pass
            async def test_skips(self): self.skipTest("after all not")
            async def test_pytest_skip(self): pytest.skip("as pytest says")
        """
    )
    assert outcomes(result) == {"xfailed": 1, "skipped": 3}


def test_trace_stops_in_front_of_each_test_which_runs_then(pytester):
    pytester.makepyfile(
        """
        import pytest, asyncunit

        class TestCase(asyncunit.AsyncTestCase):
            async def test_case(self): print("the case ran")

        @pytest.mark.asyncunit
        async def test_function(): print("the function ran")
        """
    )
    process = in_a_process(pytester, "--trace", "-s", stdin=subprocess.PIPE)
    output, _ = process.communicate("c\nc\n", timeout=30)
    assert output.count("(Pdb)") == 2
    assert "the case ran" in output
    assert "the function ran" in output


def test_in_the_debugger_all_is_as_the_test_left_it_and_is_torn_down_after(pytester):
    pytester.makepyfile(
        """
        import asyncio, asyncunit, unittest

        class TestCase(asyncunit.ClassLoopTestCase):
            @asyncunit.fixture
            async def value(self):
                yield 42
                print("value", asyncio.get_running_loop() is self.loop)

            async def asyncSetUp(self):
                self.loop = asyncio.get_running_loop()
                self.addAsyncCleanup(self.clean_up)

            async def clean_up(self): print("clean up")

            async def asyncTearDown(self): print("asyncTearDown", self.value)

            def tearDown(self):
                print("tearDown", asyncio.get_event_loop() is self.loop)

            async def test_async(self): raise ValueError("async")

            def test_sync(self): raise ValueError("sync")

            async def test_that_passes(self): pass

            @unittest.skip("why")
            async def test_that_is_skipped(self): pass

        class TestTearDown(asyncunit.AsyncTestCase):
            async def asyncTearDown(self): raise ValueError("tear down")

            async def test_x(self): pass
        """
    )
    process = in_a_process(pytester, "--pdb", "-s", stdin=subprocess.PIPE)
    output, _ = process.communicate("p self.value\nc\np self.value\nc\nc\n", timeout=30)
    assert output.count("(Pdb) 42") == 2
    rest = re.findall("asyncTearDown 42|tearDown True|clean up|value True", output)
    assert rest == ["asyncTearDown 42", "tearDown True", "clean up", "value True"] * 3
    assert "ValueError: tear down" in output
    assert "2 failed, 2 passed, 1 skipped, 1 error" in output


def test_without_the_plugin_test_cases_run_and_what_is_missing_is_said(pytester):
    pytester.makepyfile(
        "import asyncunit\n\nclass TestCase(asyncunit.SessionLoopTestCase):\n    async def test_x(self): pass\n"
    )
    output, _ = in_a_process(pytester, "-p", "no:asyncunit.pytest_plugin").communicate(timeout=30)
    assert "1 passed, 1 warning" in output, output
    assert "pytest runs asyncunit's test cases without asyncunit's plugin" in output


# Configuration.


POLICY = """
    class Loop(asyncio.SelectorEventLoop):
        pass

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return Loop()

    POLICIES = [Policy(), asyncio.DefaultEventLoopPolicy()]
    is_own = lambda: isinstance(asyncio.get_running_loop(), Loop)
"""
needs_policies = pytest.mark.skipif(sys.version_info >= (3, 16), reason="there are no policies")


@needs_policies
@pytest.mark.parametrize("marker", ["asyncio", "asyncunit"])
def test_a_policy_makes_the_loops_of_async_tests_once_for_each_param(run, marker):
    text = (
        POLICY
        + f"""
    @pytest.fixture(scope="module", params=POLICIES, ids=["own", "default"])
    def event_loop_policy(request):
        return request.param

    @asyncunit.fixture(scope="module")
    async def wide():
        yield asyncio.get_running_loop(), is_own()

    @pytest.mark.{marker}(loop_scope="module")
    async def test_it(wide, request):
        assert asyncio.get_event_loop_policy() is request.getfixturevalue("event_loop_policy")
        assert wide == (asyncio.get_running_loop(), is_own())
        assert is_own() is ("own" in request.node.name)

    @pytest.mark.{marker}
    @pytest.mark.parametrize("x", [1])
    async def test_param(x, request):
        assert is_own() is ("own" in request.node.name)

    def test_sync_behind_an_async_fixture(wide, request):
        assert wide[1] is ("own" in request.node.name)

    def test_sync():
        pass
    """
    )
    result = run(text)
    assert outcomes(result)["passed"] == 7
    result.stdout.fnmatch_lines("*PytestDeprecationWarning*event_loop_policy*deprecated*")


@needs_policies
def test_a_policy_is_in_force_for_what_it_is_given_to(run):
    text = (
        POLICY
        + """
    before = asyncio.get_event_loop_policy()

    class TestOwn:
        @pytest.fixture
        def event_loop_policy(self):
            return Policy()

        @pytest.mark.asyncio
        async def test_it(self):
            assert is_own() and type(asyncio.get_event_loop_policy()) is Policy

    @pytest.mark.asyncio
    async def test_other(event_loop_policy):
        assert not is_own() and asyncio.get_event_loop_policy() is before is event_loop_policy
    """
    )
    assert outcomes(run(text))["passed"] == 2


def test_a_class_that_pytest_does_not_collect_is_left_alone(run):
    result = run(
        """
        import abc, unittest, asyncunit

        class Abstract(unittest.TestCase, abc.ABC):
            @abc.abstractmethod
            def make(self): ...

            async def test_x(self): ...

        class TestMade(asyncunit.AsyncTestCase):
            async def test_x(self): ...
        """
    )
    assert outcomes(result) == {"passed": 1}


HOOKS = """
    def setUpModule(): print("<{0} setUp>")
    async def asyncSetUpModule(): print("<{0} asyncSetUp>")
    async def asyncTearDownModule(): print("<{0} asyncTearDown>")
    def tearDownModule(): print("<{0} tearDown>")
"""


@pytest.mark.parametrize("hooks", ["", HOOKS])
def test_a_test_case_that_is_imported_stands_in_the_module_that_imports_it(run, hooks):
    base = """
    import asyncunit

    class TestBase(asyncunit.ModuleLoopTestCase):
        async def test_base(self): print("<base>")
    """
    text = """
    from base import TestBase

    class TestOwn(asyncunit.ModuleLoopTestCase):
        async def test_own(self): print("<own>")
    """
    result = run(text + HOOKS.format("own"), "-s", base=base + hooks.format("base"))
    assert outcomes(result) == {"passed": 2}
    shown = re.findall("<(.*)>", result.stdout.str())
    assert shown == ["own setUp", "own asyncSetUp", "base", "own", "own asyncTearDown", "own tearDown"]


def test_the_hooks_of_a_module_are_called_that_has_no_test_case_but_an_imported_one(run):
    base = """
    import asyncunit

    class TestBase(asyncunit.AsyncTestCase):
        async def test_base(self): print("<base>")
    """
    result = run("from base import TestBase" + textwrap.dedent(HOOKS).format("own"), "-s", base=base)
    assert outcomes(result) == {"passed": 1}
    shown = re.findall("<(.*)>", result.stdout.str())
    assert shown == ["own setUp", "own asyncSetUp", "base", "own asyncTearDown", "own tearDown"]


def test_the_async_hooks_of_an_imported_test_case_are_called_where_there_are_no_others(run):
    base = """
        import asyncunit
        async def asyncSetUpModule(): print("<base asyncSetUp>")
        class TestBase(asyncunit.AsyncTestCase):
            async def test_base(self): print("<base>")
    """
    result = run("from base import TestBase", "-s", base=base)
    assert outcomes(result) == {"passed": 1}
    assert re.findall("<(.*)>", result.stdout.str()) == ["base asyncSetUp", "base"]


def test_what_a_parameter_is_marked_with_counts_whatever_stands_beside_the_test(run):
    text = """
        @pytest.mark.parametrize("value", [0, pytest.param(1, marks=pytest.mark.asyncunit(timeout=7))])
        async def test_x(value, request):
            assert request.node.get_closest_marker("asyncunit").kwargs["timeout"] == (7 if value else None)
    """
    assert outcomes(run(text, "--asyncunit-mode=auto")) == {"passed": 2}
    assert outcomes(run(f"{text}\n        def test_sync(): pass", "--asyncunit-mode=auto")) == {"passed": 3}


def test_sync_tests_that_a_hook_sets_aside_do_not_get_the_marker(run):
    conftest = """
        import pytest

        class Aside:
            @pytest.hookimpl(wrapper=True)
            def pytest_collection_modifyitems(self, items):
                aside = [item for item in items if item.name == "test_sync"]
                items[:] = [item for item in items if item not in aside]
                yield
                items += aside

        def pytest_configure(config): config.pluginmanager.register(Aside())
    """
    text = """
        async def test_async(request): assert request.node.get_closest_marker("asyncunit")

        def test_sync(request): assert request.node.get_closest_marker("asyncunit") is None
    """
    assert outcomes(run(text, "--asyncunit-mode=auto", conftest=conftest)) == {"passed": 2}


# What it costs, and how it ends.


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_an_interrupt_runs_the_tear_down_of_all_that_is_open(pytester):
    pytester.makepyfile(
        """
        import asyncio, pathlib, pytest, asyncunit

        def note(text):
            with open("notes", "a") as file:
                file.write(text + "\\n")

        @asyncunit.fixture(scope="session")
        async def wide():
            yield
            note("session down")

        @asyncunit.fixture
        async def own(wide):
            try:
                yield
            finally:
                await asyncio.sleep(0)
                note("test down")

        @pytest.mark.asyncunit
        async def test_x(own):
            note("running")
            await asyncio.Event().wait()
        """
    )
    process = in_a_process(pytester)
    notes = pytester.path / "notes"
    deadline = time.monotonic() + 30
    while not notes.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert notes.read_text().split("\n")[:-1] == ["running", "test down", "session down"]
    assert "KeyboardInterrupt" in output


def test_an_interrupt_as_the_run_ends_leaves_its_summary(pytester):
    pytester.makeconftest(
        """
        from asyncunit.loops.interrupts import Interrupt

        def pytest_sessionfinish():
            Interrupt.installed.is_deferred = True  # as where Ctrl-C comes in asyncunit's own code
        """
    )
    path = pytester.makepyfile("async def test(): raise ValueError('boom')")
    process = in_a_process(pytester, path, "--asyncunit-mode=auto")
    output, _ = process.communicate(timeout=30)
    assert "ValueError: boom" in output
    assert "! KeyboardInterrupt !" in output
    assert "1 failed" in output
    assert process.returncode == pytest.ExitCode.INTERRUPTED


# What sync code has of a loop.

FUTURE = """
    @asyncunit.fixture(scope="{scope}")
    async def future():
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(future.set_result, 5)
        yield future

    @pytest.fixture(scope="{scope}")
    def answer(future):
        yield asyncio.get_event_loop().run_until_complete(future)
        assert asyncio.get_event_loop() is future.get_loop()
"""


@pytest.mark.parametrize("scope", ["function", "module"])
def test_sync_tests_and_fixtures_use_the_loop_of_an_async_fixture(run, scope):
    text = (
        FUTURE.format(scope=scope)
        + """
    def test_sync(future):
        assert asyncio.get_event_loop().run_until_complete(future) == 5

    def test_answer(answer):
        assert answer == 5

    @pytest.mark.asyncunit
    async def test_async(answer):
        assert answer == 5
    """
    )
    assert outcomes(
        run(
            text.replace("        assert asyncio.get_event_loop() is future.get_loop()\n", "")
            if scope == "module"
            else text
        )
    ) == {"passed": 3}


def test_a_sync_fixture_finds_the_loop_of_its_async_test_and_what_was_there_is_put_back(run):
    result = run(
        """
        mine = asyncio.new_event_loop()

        def setup_module():
            asyncio.set_event_loop(mine)

        def teardown_module():
            asyncio.set_event_loop(None)
            mine.close()

        @asyncunit.fixture
        def ours():
            yield asyncio.get_event_loop()

        @pytest.fixture
        def pytests():
            loop = asyncio.get_event_loop()
            yield loop
            assert asyncio.get_event_loop() is loop

        @pytest.mark.asyncunit
        async def test_ours(ours):
            assert ours is asyncio.get_running_loop()

        @pytest.mark.asyncunit
        async def test_pytests(pytests):
            assert pytests is asyncio.get_running_loop()

        def test_sync(pytests):
            assert pytests is mine
        """
    )
    assert outcomes(result) == {"passed": 3}


def test_a_single_loop_factory_is_for_the_async_fixtures_of_sync_tests_too(run, pytester):
    pytester.makeconftest(
        """
        import asyncio

        class Loop(asyncio.SelectorEventLoop): pass

        def pytest_asyncunit_loop_factories(config, item):
            return {"mine": Loop}
        """
    )
    result = run(
        """
        @asyncunit.fixture(scope="module")
        async def name():
            yield type(asyncio.get_running_loop()).__name__

        def test_sync(name):
            assert name == "Loop"

        @pytest.mark.asyncunit
        async def test_async(name):
            assert name == "Loop"
        """,
        "-v",
    )
    assert outcomes(result) == {"passed": 2}
    result.stdout.fnmatch_lines("*::test_sync PASSED*")


# Markers, files, packages.


def test_a_marker_on_a_single_param_counts(run):
    result = run(
        """
        MARKS = [pytest.mark.asyncunit, pytest.mark.asyncio, pytest.mark.asyncunit(timeout=7)]

        @pytest.mark.parametrize("x", [pytest.param(number, marks=mark) for number, mark in enumerate(MARKS)])
        async def test_it(x, request):
            marker = request.node.get_closest_marker("asyncunit")
            assert marker.kwargs["timeout"] == (7 if x == 2 else None)
        """
    )
    assert outcomes(result) == {"passed": 3}


def test_what_is_wrong_with_the_marker_of_a_param_is_said(run):
    result = run(
        """
        @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.asyncunit(timeout="soon"))])
        async def test_it(x): pass
        """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*test_it*1*'soon'*")


def test_a_text_file_of_doctests_stands_beside_async_tests(run, pytester):
    pytester.maketxtfile(test_doc=">>> 1 + 1\n2\n")
    result = run("@pytest.mark.asyncunit\nasync def test_it(): pass", pytester.path)
    assert outcomes(result) == {"passed": 2}


@pytest.mark.parametrize("marker", ["asyncunit", "asyncio"])
def test_a_package_s_fixture_shares_its_loop_with_the_tests_of_a_subpackage(run, pytester, marker):
    decorator = {"asyncunit": "asyncunit.fixture", "asyncio": "pytest_asyncio.fixture"}[marker]
    result = run(
        **{
            "t/__init__": "",
            "t/sub/__init__": "",
            "t/conftest": f"import asyncio, asyncunit, pytest_asyncio\n\n@{decorator}(scope='package')\n"
            "async def shared():\n    yield asyncio.get_running_loop()\n",
            "t/sub/test_it": f"import asyncio, pytest\n\n@pytest.mark.{marker}(loop_scope='package')\n"
            "async def test_it(shared):\n    assert shared is asyncio.get_running_loop()\n",
        }
    )
    assert outcomes(result) == {"passed": 1}


def test_blanket_filters_silence_what_only_warns_or_leave_it_a_warning(run):
    text = "@pytest.mark.asyncio\nasync def test_it(): asyncio.ensure_future(asyncio.sleep(9))"
    assert outcomes(run(text, "-Wignore")) == {"passed": 1}
    assert outcomes(run(text, "-Werror")) == {"passed": 1, "warnings": 1}


def test_the_fix_for_a_plain_test_case_is_asyncunits_own_mode_where_pytest_asyncios_is_auto(run):
    result = run(
        """
        class TestPlain(unittest.TestCase):
            async def test_it(self): pass
        """,
        "--asyncio-mode=auto",
    )
    assert outcomes(result) == {"failed": 1}
    result.stdout.fnmatch_lines("*or write asyncunit_mode = auto in pytest's configuration*")


PLANNED = """
class TestCase(asyncunit.AsyncTestCase):
    async def test_case(self): raise ValueError("it ran")
"""


def test_the_plan_is_drawn_and_nothing_is_run(run):
    result = run(PLANNED, "--asyncunit-plan")
    result.stdout.fnmatch_lines(["*class TestCase  on a loop for each test (by default)", "*test_case"])
    assert (result.ret, outcomes(result)) == (pytest.ExitCode.OK, {})


def test_the_plan_ends_with_1_where_something_is_wrong_with_a_test(run):
    text = f'{PLANNED}    loop_scope = "class"\n\nasync def asyncSetUpModule(): ...\n'
    result = run(text, "--asyncunit-plan")
    result.stdout.fnmatch_lines("*has loop_scope = *, but *asyncSetUpModule needs a loop that lasts for the module*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
