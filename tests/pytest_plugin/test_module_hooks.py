import textwrap

from tests.pytest_plugin.running import outcomes

HOOKS = """
    events = []
    number = contextvars.ContextVar("number")

    def loop():
        return asyncio.get_running_loop()

    def setUpModule():
        events.append("setUpModule")

    async def asyncSetUpModule():
        events.append("asyncSetUpModule")
        number.set(5)
        global own
        own = loop()

    async def asyncTearDownModule():
        assert loop() is own
        events.append("asyncTearDownModule")

    def tearDownModule():
        print(*events, "tearDownModule")
"""


def with_hooks(text):
    return textwrap.dedent(HOOKS) + textwrap.dedent(text)


def test_test_functions_run_on_one_loop_with_the_hooks_of_their_module(run):
    text = """
        async def test_async():
            assert loop() is own
            assert number.get() == 5

        @asyncunit.fixture
        async def fixture(): return loop()

        def test_sync(fixture):
            assert fixture is own

        class TestGroup:
            async def test_method(self):
                assert loop() is own

        class TestCase(asyncunit.AsyncTestCase):
            async def test_case(self):
                assert loop() is own
    """
    result = run(with_hooks(text), "--asyncunit-mode=auto", "-s")
    assert outcomes(result) == {"passed": 4}
    result.stdout.fnmatch_lines("*setUpModule asyncSetUpModule asyncTearDownModule tearDownModule*")


def test_the_hooks_are_called_for_a_sync_function_alone_and_in_strict_mode(run):
    text = """
        def test_sync():
            assert events == ["setUpModule", "asyncSetUpModule"]
    """
    result = run(with_hooks(text), "-s")
    assert outcomes(result) == {"passed": 1}
    result.stdout.fnmatch_lines("*setUpModule asyncSetUpModule asyncTearDownModule tearDownModule*")


def test_the_hooks_run_on_the_widest_loop_that_a_test_function_needs(run):
    text = """
        @asyncunit.fixture(scope="session")
        async def pool(): return loop()

        async def test_1(): assert loop() is own
        async def test_2(pool): assert pool is own

        class TestCase(asyncunit.AsyncTestCase):
            async def test_case(self): assert loop() is own
    """
    assert outcomes(run(with_hooks(text), "--asyncunit-mode=auto")) == {"passed": 3}


def test_fixtures_stand_around_the_hooks_and_narrower_ones_within(run):
    text = """
        @asyncunit.fixture(scope="module")
        async def wide():
            events.append("wide up")
            yield
            print("wide down")

        @asyncunit.fixture(scope="module")
        async def wide_of_the_second():
            yield
            print("second down")

        @asyncunit.fixture(scope="class", autouse=True)
        def narrow():
            events.append("narrow up")

        async def test_1(wide):
            assert events == ["wide up", "setUpModule", "asyncSetUpModule", "narrow up"]
            events.clear()

        async def test_2(wide_of_the_second): pass
    """
    result = run(with_hooks(text), "--asyncunit-mode=auto", "-s")
    assert outcomes(result) == {"passed": 2}
    result.stdout.fnmatch_lines(["*asyncTearDownModule tearDownModule*", "*second down*", "*wide down*"])


def test_a_failed_hook_is_the_error_of_each_test_function_and_nothing_is_set_up_for_these(run):
    text = """
        async def asyncSetUpModule():
            raise ValueError("boom")

        @asyncunit.fixture(scope="package")
        async def wide(): print("wide up")

        @asyncunit.fixture(autouse=True)
        async def narrow(): print("narrow up")

        class TestA(asyncunit.AsyncTestCase):
            async def test_case(self): pass

        async def test_async(wide): pass
        def test_sync(): pass
    """
    result = run(with_hooks(text), "--asyncunit-mode=auto", "-s")
    assert outcomes(result) == {"errors": 3}
    result.stdout.no_fnmatch_line("*asyncTearDownModule*")
    result.stdout.no_fnmatch_line("*e up*")


def test_the_sync_hooks_are_called_where_a_fixture_before_them_fails(run):
    text = """
        @asyncunit.fixture(scope="module")
        async def failing(): raise ValueError("boom")

        async def test_1(failing): pass
    """
    result = run(with_hooks(text), "--asyncunit-mode=auto", "-s")
    assert outcomes(result) == {"errors": 1}
    result.stdout.fnmatch_lines("*setUpModule tearDownModule*")


def test_a_hook_that_skips_skips_the_test_functions(run):
    text = """
        async def asyncSetUpModule():
            raise unittest.SkipTest("why")

        async def test_async(): pass
        def test_sync(): pass
    """
    assert outcomes(run(with_hooks(text), "--asyncunit-mode=auto")) == {"skipped": 2}


def test_a_test_function_with_a_loop_that_is_too_narrow_is_refused(run):
    text = """
        @pytest.mark.asyncunit(loop_scope="function")
        async def test_async(): pass
    """
    result = run(with_hooks(text))
    assert outcomes(result) == {"errors": 1}
    result.stdout.fnmatch_lines('*it has loop_scope = "function", but *.asyncSetUpModule needs a loop that lasts for*')


FACTORIES = """
    import asyncio

    class Loop(asyncio.SelectorEventLoop): pass

    def pytest_asyncunit_loop_factories():
        return {each}
"""


def test_the_hooks_run_on_the_loop_of_the_one_loop_factory(run):
    text = """
        async def test_1():
            assert loop() is own
            assert type(own).__name__ == "Loop"
    """
    conftest = FACTORIES.replace("{each}", "{'one': Loop}")
    assert outcomes(run(with_hooks(text), "--asyncunit-mode=auto", conftest=conftest)) == {"passed": 1}


def test_a_test_function_on_another_loop_than_the_hooks_is_an_error(run):
    text = """
        @pytest.mark.asyncunit(loop_scope="session")
        async def test_1(): assert loop() is own
        @pytest.mark.asyncunit(loop_scope="module")
        async def test_2(): assert loop() is own
    """
    result = run(with_hooks(text))
    assert outcomes(result) == {"passed": 1, "errors": 1}
    result.stdout.fnmatch_lines("*test_2 runs on the module loop (as it says), but *.asyncSetUpModule runs on another*")
    conftest = FACTORIES.replace("{each}", "{'one': Loop, 'two': asyncio.SelectorEventLoop}")
    result = run(with_hooks("async def test_1(): assert loop() is own"), "--asyncunit-mode=auto", conftest=conftest)
    assert outcomes(result) == {"passed": 1, "errors": 1}


def test_a_marker_that_is_added_later_leaves_a_test_on_the_loop_of_the_hooks(run):
    conftest = """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.asyncunit(timeout=5))
    """
    text = "async def test_1(): assert loop() is own"
    result = run(with_hooks(text), "--asyncunit-mode=auto", conftest=textwrap.dedent(conftest))
    assert outcomes(result) == {"passed": 1}
