"""Processes that have imported what every run imports, and fork for each run.

What is imported comes with Python, or is pytest's; none of it is asyncunit's. A run has a process of its own, with the
directory, the environment, the output and the end of one that was started afresh. With ``FRESH_PROCESSES=1`` in the
environment of the suite each of them is started afresh, which takes longer; so it is where there is no ``os.fork()``.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import warnings

# What runs of any kind import soon, of the standard library.
_USUAL = ("concurrent.futures.thread", "importlib.util", "ipaddress", "json", "shutil", "tempfile", "urllib.parse")
_OF_UNITTEST = (*_USUAL, "asyncio", "unittest", "unittest.async_case", "unittest.main")
# The modules that `python -m` can run in a process that has imported these.
IMPORTS = {
    "unittest": _OF_UNITTEST,
    "asyncunit": _OF_UNITTEST,
    "pytest": (*_OF_UNITTEST, "pytest", "_pytest", "pdb", "xml.etree.ElementTree"),
}
IS_POSSIBLE = hasattr(os, "fork") and hasattr(socket, "send_fds") and not os.environ.get("FRESH_PROCESSES")

_NUMBER = struct.Struct("i")


class Prepared:
    """A process that waits for what to run, from the outside; no child of ours, for a virtual clock waits for these."""

    def __init__(self, imports):
        self._connection, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                [sys.executable, __file__, str(theirs.fileno()), *imports],
                env=without_settings(os.environ),
                pass_fds=[theirs.fileno()],
                check=True,
            )
        atexit.register(self._connection.close)  # where it ends

    def run(self, command, cwd, environment, timeout):
        """Run a command that ``imports_for()`` knows, as ``subprocess.run()`` does."""
        request = {"command": command, "cwd": str(cwd), "environment": environment}
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            asked.write(json.dumps(request).encode())
            asked.seek(0)
            socket.send_fds(self._connection, [b"."], [asked.fileno(), output.fileno(), errors.fileno()])
            pid = self._number()
            self._connection.settimeout(timeout)
            try:
                status = self._number()
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._connection.settimeout(None)
                self._number()
                raise subprocess.TimeoutExpired(command, timeout, _text(output), _text(errors)) from None
            finally:
                self._connection.settimeout(None)
            return subprocess.CompletedProcess(command, status, _text(output), _text(errors))

    def _number(self):
        return _NUMBER.unpack(self._connection.recv(_NUMBER.size, socket.MSG_WAITALL))[0]


def imports_for(arguments, environ):
    """What a process has imported that can run Python with these arguments and settings; None if none can."""
    if not IS_POSSIBLE or any(name.startswith("PYTHON") and name != "PYTHONPATH" for name in environ):
        return None
    return IMPORTS.get(_parsed(arguments)[1])


def _parsed(arguments):
    """Of ``[-W error] -m module ...``: whether warnings are errors, and the module; that is None for all else."""
    are_errors = tuple(arguments[:2]) == ("-W", "error")
    rest = arguments[2:] if are_errors else arguments
    return are_errors, rest[1] if rest[0] == "-m" else None


def without_settings(environ):
    """The environment without the settings of asyncunit, pytest and Python, but for where bytecode is kept."""
    settings = [name for name in environ if name.startswith(("ASYNCUNIT_", "PYTEST_", "PYTHON")) or name == "COLUMNS"]
    return {name: environ[name] for name in environ if name == "PYTHONPYCACHEPREFIX" or name not in settings}


def _text(file):
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


@functools.cache
def process_with(imports):
    """One that has imported these, as long as this process lasts."""
    return Prepared(imports)


def _serve(connection):
    """Wait for what to run, fork, and return in the child the file of the request, and those for what it prints."""
    while True:
        message, files, _, _ = socket.recv_fds(connection, 1, 3)
        if not message:
            sys.exit()
        pid = os.fork()
        if not pid:
            connection.close()
            return files
        for file in files:
            os.close(file)
        connection.sendall(_NUMBER.pack(pid))
        connection.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def _become(asked, output, errors):
    """Become the process that was asked for; return the name of the module that it runs."""
    with os.fdopen(asked, encoding="utf-8") as file:
        request = json.load(file)
    for here, standard in ((output, 1), (errors, 2)):
        os.dup2(here, standard)
        os.close(here)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    path = request["environment"].get("PYTHONPATH", "")
    sys.path[:1] = [request["cwd"], *filter(None, path.split(os.pathsep))]
    sys.orig_argv[:] = command = request["command"]
    are_errors, module = _parsed(command[1:])
    if are_errors:
        sys.warnoptions.append("error")
        warnings.simplefilter("error")
    sys.argv[:] = ["-m", *command[command.index(module) + 1 :]]
    importlib.invalidate_caches()
    return module


def _main(number, *imports):
    if os.fork():
        os._exit(0)
    for module in map(importlib.import_module, imports):
        if module.__name__ == "_pytest":  # which imports its parts as it begins, but for one with a plugin of its own
            for part in pkgutil.iter_modules(module.__path__, "_pytest."):
                if part.name != "_pytest.pytester_assertions":
                    importlib.import_module(part.name)
    gc.collect()
    gc.freeze()
    return _become(*_serve(socket.socket(fileno=int(number))))


if __name__ == "__main__":
    runpy.run_module(_main(*sys.argv[1:]), run_name="__main__", alter_sys=True)
