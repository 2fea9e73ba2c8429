"""Each promise to users, once through the real ``python -m unittest``."""

import signal
import sys

import pytest

from tests.support import ROOT, python, write

SHARED = """
    import asyncio, unittest, asyncunit
    {0}
"""

STAGES = """
    import asyncio, os, signal, threading, time, asyncunit

    async def asyncSetUpModule(): print("asyncSetUpModule")
    async def asyncTearDownModule():
        print("asyncTearDownModule")
        raise ValueError("in the tear-down of the module")

    def press(times):
        def work():
            for _ in range(times):
                pressed.wait()
                pressed.clear()
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Thread(target=work, daemon=True).start()

    pressed = threading.Event()

    async def forever():
        # Not one long wait: a signal that comes just before the loop waits for its files does not wake it.
        while True:
            await asyncio.sleep(0.01)

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls): print("asyncSetUpClass")
        @classmethod
        async def asyncTearDownClass(cls): print("asyncTearDownClass")
        @classmethod
        def tearDownClass(cls): print("tearDownClass")
        async def asyncSetUp(self): self.addAsyncCleanup(self.clean)
        async def clean(self): print("cleanup")
        async def asyncTearDown(self):
            print("asyncTearDown")
            if os.environ["TIMES"] == "2":
                pressed.set()
                await forever()
        def test_1(self):
            press(int(os.environ["TIMES"]))
            pressed.set()
            while os.environ.get("PHASE") == "sync":
                time.sleep(0.01)
            return asyncio.sleep(0.3) if os.environ.get("PHASE") == "catch" else forever()
        async def test_2(self): print("never")
"""


def unittest(directory, *arguments, **environ):
    return python("-W", "error", "-m", "unittest", *arguments, cwd=directory, **environ)


def test_the_example_suite_passes_without_a_warning():
    done = python("-X", "dev", "-W", "error", "-m", "unittest", "discover", "-s", "docs/examples", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("." * 14 + "\n")
    assert done.stderr.endswith("\nOK\n")


def test_a_suite_of_packages_is_discovered_and_shares_its_loops(tmp_path):
    for package in ("one", "one/two"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        for module in ("test_a", "test_b"):
            (tmp_path / package / f"{module}.py").write_text(
                "import asyncio, asyncunit\n"
                "class TestSession(asyncunit.SessionLoopTestCase):\n"
                "    async def test_x(self): print('session', id(asyncio.get_running_loop()))\n"
                "class TestPackage(asyncunit.PackageLoopTestCase):\n"
                f"    async def test_x(self): print({package!r}, id(asyncio.get_running_loop()))\n",
                encoding="utf-8",
            )
    found = unittest(tmp_path, "discover", "-t", ".")
    assert found.stderr.endswith("Ran 8 tests" + found.stderr.partition("Ran 8 tests")[2])
    assert found.returncode == 0
    lines = found.stdout.split("\n")[:-1]
    assert len(set(lines)) == 3
    assert len(lines) == 8


def test_a_failure_in_each_phase_reads_as_a_user_expects(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncio, asyncunit
            async def boom(): raise ValueError("boom")
            class TestSetUpClass(asyncunit.AsyncTestCase):
                @classmethod
                async def asyncSetUpClass(cls): await boom()
                async def test_1(self): pass
                async def test_2(self): pass
            class TestTest(asyncunit.ClassLoopTestCase):
                async def test_1(self): await boom()
                async def test_2(self): self.assertEqual(1, 2)
        """,
    )
    found = unittest(tmp_path, "test_it")
    assert found.returncode == 1
    for line in ("ERROR: setUpClass (test_it.TestSetUpClass)", "ERROR: test_1 (test_it.TestTest.test_1)"):
        assert found.stderr.count(line) == 1
    assert "AssertionError: 1 != 2" in found.stderr
    assert str(ROOT / "asyncunit") not in found.stderr
    assert "asyncio" not in found.stderr
    assert found.stderr.rstrip().endswith("FAILED (failures=1, errors=2)")


def test_errors_at_the_end_of_the_run_make_it_fail(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncio, asyncunit
            import asyncunit.loops.loop
            asyncunit.loops.loop.CLOSE_TIMEOUT = 0.1
            @asyncunit.settings(background_tasks="*.stubborn")
            class Test(asyncunit.SessionLoopTestCase):
                async def test_x(self):
                    async def stubborn():
                        while True:
                            try: await asyncio.Event().wait()
                            except asyncio.CancelledError: pass
                    self.task = asyncio.ensure_future(stubborn())
                    await asyncio.sleep(0)
        """,
    )
    found = unittest(tmp_path, "test_it")
    assert found.returncode == 1
    assert "ERROR: closing (session)\n" in found.stderr
    assert "Test.test_x.<locals>.stubborn(), still at" in found.stderr
    assert "Task was destroyed" not in found.stderr


@pytest.mark.parametrize(
    "option",
    ["-f", "-b", "-c", "-v", "--locals", "-k=test_x", *(["--durations=3"] if sys.version_info >= (3, 12) else [])],
)
def test_every_option_works(tmp_path, option):
    write(
        tmp_path,
        test_it="""
            import asyncio, asyncunit
            class Test(asyncunit.ClassLoopTestCase):
                async def test_x(self): print("printed"); await asyncio.sleep(0)
                async def test_x2(self): local = 3; self.fail("failure")
                async def test_x3(self): pass
        """,
    )
    found = unittest(tmp_path, *option.split("="), "test_it")
    assert found.returncode == 1
    assert f"Ran {2 if option == '-f' else 3} tests" in found.stderr
    assert ("    local = 3\n" in found.stderr) is (option == "--locals")
    assert "AssertionError: failure" in found.stderr


def test_errors_that_come_up_when_the_run_is_over_are_in_a_report_that_buffers(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncunit
            class Test(asyncunit.AsyncTestCase):
                @asyncunit.fixture(scope="session")
                async def value(cls):
                    yield
                    raise ValueError("in the tear-down")
                def test_x(self): print("printed"); self.fail("in the test")
        """,
    )
    found = unittest(tmp_path, "-b", "test_it")
    assert "ERROR: closing (session)\n" in found.stderr
    assert "ValueError: in the tear-down" in found.stderr
    assert "AssertionError: in the test" in found.stderr
    assert "FAILED (failures=1, errors=1)" in found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
@pytest.mark.parametrize("phase", ["async", "sync"])
def test_ctrl_c_tears_all_down_and_ends_the_run(tmp_path, phase):
    write(tmp_path, test_it=STAGES)
    found = unittest(tmp_path, "test_it", TIMES="1", PHASE=phase)
    assert found.returncode in (130, -signal.SIGINT)
    assert found.stdout.split() == [
        "asyncSetUpModule",
        "asyncSetUpClass",
        "asyncTearDown",
        "cleanup",
        "asyncTearDownClass",
        "tearDownClass",
        "asyncTearDownModule",
    ]
    assert found.stderr.count("ValueError: in the tear-down of the module") == 1
    assert found.stderr.startswith("asyncunit: error while the scope 'module test_it' closed:\n")
    assert found.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    write(tmp_path, test_it=STAGES)
    found = unittest(tmp_path, "test_it", TIMES="2")
    assert found.returncode in (130, -signal.SIGINT)
    assert found.stdout.split() == ["asyncSetUpModule", "asyncSetUpClass", "asyncTearDown"]
    assert found.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "Task was destroyed" not in found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
def test_ctrl_c_under_catch_lets_the_test_end_and_reports(tmp_path):
    write(tmp_path, test_it=STAGES)
    found = unittest(tmp_path, "-c", "test_it", TIMES="1", PHASE="catch")
    assert found.returncode == 1
    assert "Ran 1 test in" in found.stderr
    assert "ERROR: tearDownModule (test_it)" in found.stderr
    assert found.stdout.split()[-1] == "asyncTearDownModule"


def test_a_bare_run_that_is_stopped_is_closed_with_the_process(tmp_path):
    write(
        tmp_path,
        bare="""
            import asyncio, unittest, asyncunit
            @asyncunit.settings(background_tasks="*.wait")
            class Test(asyncunit.SessionLoopTestCase):
                async def test_x(self):
                    async def wait():
                        try: await asyncio.Event().wait()
                        finally: print("closed")
                    Test.task = asyncio.ensure_future(wait())
                    await asyncio.sleep(0)
            suite = unittest.TestLoader().loadTestsFromTestCase(Test)
            suite.addTest(lambda result: result.stop())
            suite.run(unittest.TestResult())
            print("end")
        """,
    )
    found = python("-W", "error", "bare.py", cwd=tmp_path)
    assert (found.stdout.split(), found.stderr) == (["end", "closed"], "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_bare_run_in_a_worker_is_closed_with_the_worker(tmp_path, method):
    write(
        tmp_path,
        worker="""
            import asyncio, multiprocessing, sys, unittest, asyncunit
            @asyncunit.settings(background_tasks="*.wait")
            class Test(asyncunit.SessionLoopTestCase):
                async def test_x(self):
                    async def wait():
                        try: await asyncio.Event().wait()
                        finally: print("closed", flush=True)
                    Test.task = asyncio.ensure_future(wait())
                    await asyncio.sleep(0)
            def work(test):
                unittest.TestSuite([test, lambda result: result.stop()]).run(unittest.TestResult())
                print("end", flush=True)
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                process = context.Process(target=work, args=[Test("test_x")])
                process.start()
                process.join()
        """,
    )
    found = python("worker.py", method, cwd=tmp_path)
    assert (found.stdout.split(), found.stderr) == (["end", "closed"], "")


def test_the_configuration_is_that_of_the_working_directory(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncio, asyncunit
            class Test(asyncunit.AsyncTestCase):
                async def test_1(self): Test.loop = asyncio.get_running_loop()
                async def test_2(self): self.assertIs(Test.loop, asyncio.get_running_loop())
        """,
    )
    assert unittest(tmp_path, "test_it").returncode == 1
    (tmp_path / "setup.cfg").write_text("[asyncunit]\nloop_scope = class\n", encoding="utf-8")
    assert unittest(tmp_path, "test_it").returncode == 0
    assert unittest(tmp_path, "test_it", ASYNCUNIT_LOOP_SCOPE="function").returncode == 1
    (tmp_path / "setup.cfg").write_text("[asyncunit]\nloop_scop = class\n", encoding="utf-8")
    found = unittest(tmp_path, "test_it")
    assert found.returncode != 0
    assert f"{tmp_path / 'setup.cfg'}:2: there is no key 'loop_scop'" in found.stderr


def test_importing_costs_little_beyond_unittest_and_asyncio(tmp_path):
    code = (
        "import unittest, asyncio, sys; before = set(sys.modules); import asyncunit; print(*set(sys.modules) - before)"
    )
    assert python("-c", code, cwd=tmp_path).stdout == "asyncunit\n"


def test_the_log_of_a_hung_run_names_the_test_and_says_where_it_stands(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncio, time, asyncunit
            asyncunit_settings = asyncunit.settings(timeout=0.1)
            class Test(asyncunit.ClassLoopTestCase):
                async def test_blocked(self):
                    time.sleep(1.4)
                def test_sync(self):
                    time.sleep(0.3)
                @asyncunit.settings(timeout=60)
                async def test_slow(self):
                    await asyncio.sleep(0.3)
        """,
    )
    found = unittest(tmp_path, "test_it")
    for name in ("test_blocked", "test_sync"):
        assert f"asyncunit: {name} (test_it.Test.{name}): " in found.stderr
        assert f"in {name}\n    time.sleep(" in found.stderr
        assert f"ERROR: {name} (test_it.Test.{name})\n" in found.stderr
    assert "FAILED (errors=2)" in found.stderr


def test_what_tests_leave_is_told_at_the_end_of_a_plain_run(tmp_path):
    write(
        tmp_path,
        test_it="""
            import asyncio, asyncunit
            class Test(asyncunit.ClassLoopTestCase):
                async def test_1(self):
                    self.task = asyncio.create_task(asyncio.sleep(60))
                async def test_2(self):
                    pass
        """,
    )
    found = python("-m", "unittest", "test_it", cwd=tmp_path)
    assert found.stderr.startswith("..")
    assert "AsyncUnitWarning: test_1 (test_it.Test.test_1) left behind:\n  - a pending task 'Task-" in found.stderr
    assert f"made at {tmp_path}" in found.stderr
    assert found.stderr.endswith("OK\n")
    found = unittest(tmp_path, "test_it", ASYNCUNIT_FAIL_ON="leaked_tasks")
    assert "LeftBehindError: test_1 (test_it.Test.test_1) left behind:" in found.stderr
    assert "FAILED (errors=1)" in found.stderr
