import pytest

import asyncunit
from asyncunit import Scope, fixture, pytest_plugin
from asyncunit.config.settings import Config
from asyncunit.plans import fixtures
from asyncunit.pytest_plugin.fixture_plans import Conftests, PytestFixture, PytestFixtures, depth_needed, mark_fixture
from asyncunit.pytest_plugin.nodes import ScopeNode
from tests.pytest_plugin.running import outcomes
from tests.pytest_plugin.test_function_plans import coroutine_function, definition, ownership

PLACES = tuple(ScopeNode(scope, str(scope), object()) for scope in (Scope.SESSION, Scope.PACKAGE, Scope.MODULE))


def test_a_fixture_needs_a_loop_as_wide_as_it_lives_or_as_it_says():
    @fixture(scope="module", loop_scope="session")
    async def wide(): ...

    @fixture(scope="package")
    async def of_package(): ...

    found = PytestFixture(wide, definition(wide.function, "module"), is_asyncio=False)
    assert depth_needed(found, PLACES) == 1
    # pytest has it live as long as the session where no package of the item's defines it
    there = definition(of_package.function, "package")
    assert depth_needed(PytestFixture(of_package, there, is_asyncio=False), PLACES) == 1
    assert depth_needed(PytestFixture(of_package, there, is_asyncio=True), PLACES) == 2
    there.node = PLACES[1].node
    assert depth_needed(PytestFixture(of_package, there, is_asyncio=False), PLACES) == 2


def test_the_function_of_a_fixture_knows_its_fixture():
    @fixture
    async def one(): ...

    assert mark_fixture(one) is one.function
    fixtures = PytestFixtures(ownership())
    found = fixtures.find(definition(mark_fixture(one)))
    assert vars(found) == vars(PytestFixture(one, found.definition, is_asyncio=False, is_declared=True))
    assert fixtures.find(found.definition) is found


def test_an_unmarked_async_fixture_is_taken_in_auto_mode_and_by_test_cases():
    there = definition(coroutine_function)
    assert PytestFixtures(ownership()).find(there) is None
    assert PytestFixtures(ownership()).find_for(there, is_case=True).fixture.is_async
    assert PytestFixtures(ownership()).find_for(there, is_case=False) is None
    assert PytestFixtures(ownership(config=Config(mode="auto"))).find(there).is_asyncio is False
    assert PytestFixtures(ownership(asyncio_mode="auto")).find(there).is_asyncio is True
    assert PytestFixtures(ownership(is_asyncio_active=True, asyncio_mode="auto")).find(there) is None


# Who sets up what a test case uses.


def test_a_test_case_uses_the_fixtures_that_a_conftest_declares(run):
    conftest = """
        import asyncio
        import asyncunit

        @asyncunit.fixture(scope="class")
        async def of_the_class(request):
            request.cls.loop = asyncio.get_running_loop()
            yield

        @asyncunit.fixture(scope="class")
        def sync(request):
            request.cls.sync = True

        @asyncunit.fixture(autouse=True)
        async def of_the_test(request):
            request.instance.task = asyncio.current_task()
            yield
    """
    text = """
        @pytest.mark.usefixtures("of_the_class", "sync")
        class TestIt(asyncunit.AsyncTestCase):
            async def test_it(self):
                assert self.loop is asyncio.get_running_loop()
                assert self.task is asyncio.current_task()
                assert self.sync
    """
    run(text, conftest=conftest).assert_outcomes(passed=1)


def test_a_class_that_overrides_what_a_fixture_needs_gets_a_value_made_of_that(run):
    text = """
        class Mixin:
            @asyncunit.fixture(scope="session", autouse=False)
            async def url(cls): return "production"
            @asyncunit.fixture(scope="session", autouse=False)
            async def client(cls, url): return f"client of {url}"
        class Test1(Mixin, asyncunit.AsyncTestCase):
            async def test_1(self, client): assert client == "client of production"
        class Test2(Mixin, asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="session", autouse=False)
            async def url(cls): return "test"
            async def test_2(self, client): assert client == "client of test"
    """
    run(text).assert_outcomes(passed=2)


def test_the_fixtures_of_a_module_may_have_params_and_come_after_wider_ones(run):
    text = """
        @asyncunit.fixture(scope="module", autouse=True, params=[1, 2])
        def number(request):
            print(f"NOTE module {request.param}")
        class TestX(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="session")
            async def of_the_session(cls):
                print("NOTE session")
            async def test_x(self): ...
    """
    result = run(text, "-s")
    result.assert_outcomes(passed=2)
    notes = [line.partition("NOTE ")[2] for line in result.outlines if "NOTE" in line]
    assert notes == ["session", "module 1", "module 2"]


def test_a_sync_fixture_of_a_module_gives_a_class_no_wider_loop(run):
    text = """
        loops = set()
        @asyncunit.fixture(scope="module", autouse=True)
        def plain(): return 1
        class TestX(asyncunit.AsyncTestCase):
            async def test_1(self): loops.add(asyncio.get_running_loop())
            async def test_2(self):
                loops.add(asyncio.get_running_loop())
                assert len(loops) == 2
    """
    run(text).assert_outcomes(passed=2)


def test_a_fixture_of_a_package_is_set_up_once_for_cases_and_functions(run):
    text = """
        ups = []
        @asyncunit.fixture(scope="package", autouse=True)
        async def of_the_package():
            ups.append("async")
            yield
        @asyncunit.fixture(scope="package", autouse=True)
        def made_of_it(of_the_package):
            ups.append("sync")
        class TestX(asyncunit.AsyncTestCase):
            async def test_x(self): ...
        @pytest.mark.asyncunit
        async def test_f(made_of_it): ...
        @pytest.mark.asyncunit
        async def test_g(): assert ups == ["async", "sync"]
    """
    run(text).assert_outcomes(passed=3)


def test_a_fixture_of_a_module_that_failed_for_a_case_fails_for_a_function_and_is_not_tried_again(run):
    text = """
        ups = []
        @asyncunit.fixture(scope="module")
        async def failing():
            ups.append("up")
            raise ValueError("boom")
        class TestX(asyncunit.ModuleLoopTestCase):
            async def test_x(self, failing): ...
        @pytest.mark.asyncunit
        async def test_f(failing): ...
        def test_g(): assert ups == ["up"]
    """
    run(text).assert_outcomes(passed=1, failed=1, errors=1)


def test_pytest_sets_the_fixtures_of_a_module_up_as_they_are_defined(run):
    text = """
        notes = []
        @asyncunit.fixture(autouse=True)
        async def zebra(): notes.append("zebra")
        @asyncunit.fixture
        async def named(): notes.append("named")
        @asyncunit.fixture(autouse=True)
        def ant(): notes.append("ant")
        @asyncunit.fixture(scope="session")
        async def wide(): notes.append("wide")
        @pytest.mark.asyncunit
        async def test_f(named, wide): assert notes == ["wide", "zebra", "named", "ant"]
    """
    run(text).assert_outcomes(passed=1)


def test_a_fixture_of_pytests_cannot_have_what_the_test_case_sets_up_later(run):
    text = """
        @asyncunit.fixture(autouse=True)
        async def of_the_test(): return 1
        @pytest.fixture(autouse=True)
        def early(of_the_test): ...
        class TestX(asyncunit.AsyncTestCase):
            async def test_x(self): ...
    """
    result = run(text)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*is set up by the test case TestX itself, after the fixtures of pytest's, one of which*"]
    )


def test_nothing_is_set_up_or_torn_down_in_a_module_whose_async_set_up_failed(run):
    text = """
        async def asyncSetUpModule(): raise ValueError("boom")
        def tearDownModule(): print("NOTE tearDownModule")
        class Test1(asyncunit.AsyncTestCase):
            async def test_1(self): ...
        class Test2(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="session")
            async def wide(cls): print("NOTE up")
            async def test_2(self): ...
    """
    result = run(text, "-s")
    result.assert_outcomes(errors=2)
    assert "NOTE" not in result.stdout.str()


CONFTEST = """
    import asyncio
    import pytest
    import asyncunit

    notes = []

    @asyncunit.fixture(scope="session", autouse=True)
    async def everywhere():
        notes.append("everywhere up")
        yield
        notes.append("everywhere down")
        print(notes)

    @asyncunit.fixture(params=["p0", "p1"])
    async def number(request):
        yield request.param

    @asyncunit.fixture
    async def double(number):
        yield asyncio.get_running_loop(), number * 2
"""


def test_a_test_case_names_what_a_conftest_declares_and_sets_it_up_as_its_own(run):
    result = run(
        None,
        "-s",
        conftest=CONFTEST,
        test_it="""
        import asyncio
        import asyncunit
        from conftest import notes

        class TestIt(asyncunit.AsyncTestCase):
            async def asyncSetUp(self):
                notes.append("asyncSetUp")

            @asyncunit.fixture(scope="session")
            async def own(cls):
                notes.append("own up")
                yield

            async def test_double(self, double):
                assert double in [(asyncio.get_running_loop(), each * 2) for each in ("p0", "p1")]
        """,
    )
    assert outcomes(result) == {"passed": 2}
    result.stdout.fnmatch_lines("*['everywhere up', 'own up', 'asyncSetUp', 'asyncSetUp', 'everywhere down'?")


def test_a_module_and_an_inner_conftest_override_what_an_outer_one_declares(run, pytester):
    pytester.mkpydir("pkg")
    text = """
        import asyncunit

        @asyncunit.fixture
        def number(): return "module's"

        class TestIt(asyncunit.AsyncTestCase):
            async def test_double(self, double):
                assert double[1] == "module's" * 2
                assert str(self.seen) == "inner's"
    """
    (pytester.path / "pkg" / "conftest.py").write_text(
        "import asyncunit\n"
        "@asyncunit.fixture(scope='package')\ndef of_package(): return \"inner's\"\n"
        "@asyncunit.fixture(autouse=True)\ndef everywhere(of_package, request): request.instance.seen = of_package\n"
    )
    pytester.makepyfile(**{"pkg/test_it": text})
    assert outcomes(run(None, conftest=CONFTEST)) == {"passed": 1}


def test_what_hangs_together_with_fixtures_of_pytests_own_is_left_to_pytest(run, pytester):
    pytester.mkpydir("pkg")
    (pytester.path / "pkg" / "conftest.py").write_text(
        "import pytest\nfrom conftest import notes\n"
        "@pytest.fixture(autouse=True)\ndef hidden(): notes.append('inner')\n"
    )
    conftest = """
        import pytest
        import asyncunit

        notes = []

        @asyncunit.fixture(autouse=True)
        async def in_a_folder(tmp_path):
            notes.append(tmp_path.exists())

        @asyncunit.fixture
        async def asked_for():
            return 5

        @pytest.fixture(autouse=True)
        def asking(asked_for):
            notes.append(asked_for)

        @asyncunit.fixture(autouse=True)
        async def hidden():
            notes.append("outer")
    """
    text = """
        import asyncunit
        from conftest import notes

        class TestIt(asyncunit.AsyncTestCase):
            def test_it(self):
                assert sorted(notes, key=str) == [5, True, "inner"]
    """
    pytester.makepyfile(**{"pkg/test_it": text})
    assert outcomes(run(None, conftest=conftest)) == {"passed": 1}


def test_a_run_inside_another_leaves_what_test_cases_know(run):
    before = fixtures.around.of_module
    run("def test_it(): pass", conftest=CONFTEST)
    assert fixtures.around.of_module is before


def test_a_plugin_without_a_file_is_no_conftest(pytester):
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess(plugins=[pytest_plugin, type(pytest)("made")])
    assert outcomes(result) == {"passed": 1}


def test_a_module_without_a_file_has_no_conftest(tmp_path):
    module = type(pytest)("example")
    module.number = asyncunit.fixture(lambda: 1)
    conftest = type(pytest)("conftest")
    conftest.__file__ = str(tmp_path / "conftest.py")
    conftest.other = asyncunit.fixture(lambda: 1)
    conftests = Conftests()
    conftests.add(conftest)
    assert conftests.fixtures_around(module) == {}
    module.__file__ = str(tmp_path / "inner" / "example.py")
    assert conftests.fixtures_around(module) == {"other": conftest.other}
