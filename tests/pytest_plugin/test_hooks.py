import pytest

from asyncunit.config import KEYS
from tests.pytest_plugin.running import in_a_process, outcomes


def test_every_key_is_an_option_and_an_ini_key_that_help_explains(run):
    text = run(None, "--help").stdout.str()
    for key in KEYS:
        assert f"--asyncunit-{key.replace('_', '-')}=" in text
        assert f"asyncunit_{key} (string):" in text
    run(None, "--markers").stdout.fnmatch_lines("@pytest.mark.asyncunit(background_tasks=...*")


@pytest.mark.parametrize(
    ("args", "ini", "message"),
    [
        (["--asyncunit-timeout=soon"], "", "--asyncunit-timeout: timeout is 'soon'; expected a number of seconds*"),
        ([], "asyncunit_mode = atuo", "asyncunit_mode: mode is 'atuo'; expected 'strict' or 'auto'.*'auto'?"),
        (["--asyncio-mode=True"], "", "ERROR: 'True' is not a valid asyncio_mode. Valid modes: auto, strict."),
    ],
)
def test_a_bad_value_ends_the_run_with_what_is_allowed(run, pytester, args, ini, message):
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = run("def test_x(): pass", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"*{message}")


def test_the_command_line_is_nearer_than_the_environment_and_that_than_the_ini_file(run, pytester, monkeypatch):
    text = """
        @pytest.mark.asyncunit
        async def test_x(request):
            print("timeout", request.node.get_closest_marker("asyncunit").kwargs["timeout"])
    """
    pytester.makepyprojecttoml("[tool.asyncunit]\ntimeout = 1\n")
    run(text, "-s").stdout.fnmatch_lines("*timeout 1.0*")
    pytester.makeini("[pytest]\nasyncunit_timeout = 2\n")
    run(text, "-s").stdout.fnmatch_lines("*timeout 2.0*")
    monkeypatch.setenv("ASYNCUNIT_TIMEOUT", "3")
    run(text, "-s").stdout.fnmatch_lines("*timeout 3.0*")
    run(text, "-s", "--asyncunit-timeout=4").stdout.fnmatch_lines("*timeout 4.0*")


def test_of_two_spellings_that_differ_asyncunits_own_wins_and_says_so(run):
    result = run("async def test_x(): pass", "--asyncunit-mode=auto", "--asyncio-mode=strict")
    assert outcomes(result) == {"passed": 1, "warnings": 1}
    result.stdout.fnmatch_lines("*says mode = auto, and asyncio_mode says strict: the former is in force*")


def test_what_is_wrong_in_a_file_is_said_once(run, pytester):
    pytester.makepyprojecttoml("[tool.asyncunit]\ntiemout = 1\n")
    pytester.makepyfile(test_other="async def test_x(): pass")
    result = run("async def test_x(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stdout.str().count("tiemout") + result.stderr.str().count("tiemout") == 1
    result.stderr.fnmatch_lines("ERROR: *pyproject.toml:2: there is no key 'tiemout'; *Did you mean 'timeout'?")


def test_ports_are_there_without_a_warning(run):
    result = run(
        """
        def test_x(unused_tcp_port, unused_udp_port_factory):
            assert unused_tcp_port != unused_udp_port_factory()
        """,
        "-Werror",
    )
    assert outcomes(result) == {"passed": 1}


def test_runs_inside_tests_have_one_copy_of_asyncunit_and_asyncio(pytester):
    pytester.makepyfile(
        """
        pytest_plugins = ["pytester"]

        def run(pytester, *lines):
            pytester.makepyfile("\\n".join(lines))
            pytester.runpytest_inprocess("-p", "asyncunit").assert_outcomes(passed=1)

        FIXTURE = "import asyncunit", "@asyncunit.fixture(scope='session')", "async def fixture(): return 3"
        CASE = (
            "import asyncio, asyncunit",
            "class TestCase(asyncunit.ClassLoopTestCase):",
            "    async def test_x(self): assert asyncio.current_task().get_name()",
        )

        def test_sync(pytester):
            pytester.makeconftest("\\n".join(FIXTURE))
            run(pytester, "def test_x(): pass")

        def test_function(pytester):
            pytester.makeconftest("\\n".join(FIXTURE))
            run(pytester, "import pytest", "@pytest.mark.asyncunit", "async def test_x(fixture): assert fixture == 3")

        def test_case(pytester):
            run(pytester, *CASE)

        def test_case_again(pytester):
            run(pytester, *CASE)
        """
    )
    output, _ = in_a_process(pytester, "-p", "no:cacheprovider").communicate(timeout=60)
    assert "4 passed" in output, output


def test_without_async_tests_no_more_than_options_and_detection_is_imported(pytester):
    plugin = [
        "pytest_plugin",
        *(f"pytest_plugin.{name}" for name in ("asyncio_stand_in", "detection", "options")),
    ]
    house = ["asyncunit", *(f"asyncunit.{name}" for name in ("config", *plugin))]
    pytester.makepyfile(
        "import sys\n\ndef test_x():\n"
        f"    assert sorted(name for name in sys.modules if name.startswith('asyncunit')) == {house}\n"
    )
    output, _ = in_a_process(pytester, "-p", "no:unraisableexception").communicate(timeout=30)
    assert "1 passed" in output, output


# What only test cases and fixtures need: each start of a run would wait for it.
OF_CASES_AND_FIXTURES = [
    *(f"asyncunit.plans.{name}" for name in ("class_plan", "fixtures", "loop_choice", "variants")),
    *(f"asyncunit.lifecycle.{name}" for name in ("fixture_setup", "fixtures", "hooks")),
    *(f"asyncunit.pytest_plugin.{name}" for name in ("fixtures", "module_hooks")),
    *("asyncunit.cases", "asyncunit.checks.left_callbacks"),
]


def test_test_functions_alone_import_nothing_of_test_cases_and_fixtures(pytester):
    pytester.makepyfile(
        "import sys, pytest\n\n@pytest.mark.asyncunit\nasync def test_x():\n"
        f"    assert not sys.modules.keys() & {set(OF_CASES_AND_FIXTURES)}\n"
    )
    output, _ = in_a_process(pytester).communicate(timeout=30)
    assert "1 passed" in output, output


def test_what_sets_fixtures_up_is_imported_before_the_first_test_is_set_up(pytester):
    """A test or a fixture may have patched what an import needs."""
    pytester.makepyfile(
        "import sys, pytest\n\n@pytest.fixture\nasync def value(): return 3\n\n"
        "@pytest.fixture(scope='session', autouse=True)\ndef first():\n"
        "    assert 'asyncunit.pytest_plugin.fixtures' in sys.modules\n\n"
        "@pytest.mark.asyncunit\nasync def test_x(value): assert value == 3\n"
    )
    output, _ = in_a_process(pytester, "--asyncunit-mode=auto").communicate(timeout=30)
    assert "1 passed" in output, output


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 9 has a TOML of its own")
def test_the_values_of_pytest_s_own_toml_have_their_types(run, pytester):
    (pytester.path / "pytest.toml").write_text(
        "[pytest]\nasyncunit_timeout = 5\nasyncunit_loop_debug = true\nasyncio_debug = true\n"
        'asyncunit_fail_on = ["unhandled_errors", "leaked_tasks"]\n'
    )
    result = run(
        """
        @pytest.mark.asyncunit
        async def test_it(request):
            said = request.node.get_closest_marker("asyncunit").kwargs
            assert (said["timeout"], said["loop_debug"]) == (5, True)
            assert said["fail_on"] == ["leaked_tasks", "unhandled_errors"]
        """
    )
    assert outcomes(result) == {"passed": 1}


def test_a_bad_value_of_pytest_s_own_toml_is_an_error(run, pytester):
    (pytester.path / "pytest.toml").write_text("[pytest]\nasyncunit_timeout = [5]\n")
    if pytest.version_tuple >= (9,):
        assert run("def test_it(): pass").ret == pytest.ExitCode.USAGE_ERROR
