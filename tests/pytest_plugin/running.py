"""Running pytest inside a test."""

import os
import subprocess
import sys

from tests.support import ROOT


def in_a_process(pytester, *args, **options):
    """pytest with the plugin, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "asyncunit.pytest_plugin", *args],
        cwd=pytester.path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def outcomes(result):
    return {key: count for key, count in result.parseoutcomes().items() if key != "seconds"}
