import json
import os
import signal
import subprocess
import sys

import pytest

from tests import prepared
from tests.support import ROOT, python, write

pytestmark = pytest.mark.skipif(not prepared.IS_POSSIBLE, reason="each process is started afresh")

ARGUMENTS = ("-W", "error", "-m", "unittest", "-v", "test_it")

# What a process can tell of itself that is the same for each run of a command.
STATE = """
    import json, os, signal, sys, unittest, warnings
    class Test(unittest.TestCase):
        def test_x(self):
            print(json.dumps({
                "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": list(sys.flags)[:9],
                "executable": sys.executable, "prefix": sys.prefix, "bytecode": sys.pycache_prefix,
                "cwd": os.getcwd(), "environ": dict(os.environ), "warnoptions": sys.warnoptions,
                "filters": [filter[0] for filter in warnings.filters], "main": sys.modules["__main__"].__spec__.name,
                "sigint": str(signal.getsignal(signal.SIGINT)), "group": os.getpgid(0),
                "streams": [repr((stream.encoding, stream.errors, stream.line_buffering, stream.isatty()))
                            for stream in (sys.stdin, sys.stdout, sys.stderr)],
                "asyncunit": [name for name in sys.modules if name.startswith(("asyncunit", "tests"))],
            }))
"""


@pytest.mark.parametrize("options", [(), ("-W", "error")], ids=["", "-W error"])
def test_a_run_finds_all_as_in_a_process_that_was_started_afresh(tmp_path, monkeypatch, options):
    write(tmp_path, test_it=STATE)
    arguments = (*options, "-m", "unittest", "test_it")
    assert prepared.imports_for(arguments, {}) is not None
    forked = python(*arguments, cwd=tmp_path, SETTING="x")
    monkeypatch.setattr(prepared, "IS_POSSIBLE", False)
    fresh = python(*arguments, cwd=tmp_path, SETTING="x")
    assert forked.returncode == fresh.returncode == 0, forked.stderr
    assert forked.args == fresh.args
    state = json.loads(forked.stdout)
    assert state == json.loads(fresh.stdout)
    assert state["asyncunit"] == []
    assert state["environ"]["SETTING"] == "x"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit('a message')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("atexit.register(print, 'at exit')", 0),
        ("threading.Thread(target=lambda: (time.sleep(0.02), print('thread'))).start()", 0),
        ("sys.stdout.write('a\\r\\nb'); os.write(2, b'c')", 0),
    ],
)
def test_a_run_ends_as_one_that_was_started_afresh(tmp_path, monkeypatch, code, status):
    write(tmp_path, __main__=f"import atexit, os, signal, sys, threading, time\n{code}")
    directory = tmp_path.parent
    name = f"{tmp_path.name}.__main__"
    monkeypatch.setitem(prepared.IMPORTS, name, prepared.IMPORTS["unittest"])
    forked = prepared.process_with(prepared.IMPORTS[name]).run(
        [sys.executable, "-m", name], directory, prepared.without_settings(os.environ), 60
    )
    fresh = subprocess.run(forked.args, cwd=directory, capture_output=True, text=True, check=False)
    assert (forked.returncode, forked.stdout) == (fresh.returncode, fresh.stdout)
    assert forked.stderr.splitlines()[-1:] == fresh.stderr.splitlines()[-1:]
    assert forked.returncode == status


def test_a_run_that_takes_too_long_is_ended_and_the_next_is_not(tmp_path):
    write(tmp_path, test_it="print('begins', flush=True)\nimport time\ntime.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        python("-m", "unittest", "test_it", cwd=tmp_path, timeout=0.5)
    assert caught.value.stdout == "begins\n"
    assert python("-m", "unittest", "--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "module"),
    [
        (("-m", "pytest", "-q"), {}, "pytest"),
        (("-W", "error", "-m", "asyncunit"), {"PYTHONPATH": "x", "WHEN": "now"}, "asyncunit"),
        (("-m", "unittest"), {"PYTHONWARNINGS": "error"}, None),
        (("-X", "dev", "-m", "unittest"), {}, None),
        (("-c", "pass"), {}, None),
        (("file.py", "unittest"), {}, None),
        (("-m", "timeit"), {}, None),
    ],
)
def test_other_options_settings_and_modules_have_a_process_of_their_own(arguments, environ, module):
    assert prepared.imports_for(arguments, environ) == prepared.IMPORTS.get(module)


def test_nothing_that_is_imported_is_asyncunits():
    code = f"import {', '.join({name for names in prepared.IMPORTS.values() for name in names})}, sys"
    done = python("-c", f"{code}\nprint([name for name in sys.modules if name.startswith('asyncunit')])", cwd=ROOT)
    assert done.stdout == "[]\n"


def test_the_processes_are_no_children(tmp_path):
    python("-m", "unittest", "--help", cwd=tmp_path)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
