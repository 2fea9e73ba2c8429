import pytest

import asyncunit
from asyncunit import pytest_plugin
from asyncunit.plans import fixture_graph
from asyncunit.pytest_plugin.conftests import Conftests
from tests.pytest_plugin.running import outcomes

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
    before = fixture_graph.around.of_module
    run("def test_it(): pass", conftest=CONFTEST)
    assert fixture_graph.around.of_module is before


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
