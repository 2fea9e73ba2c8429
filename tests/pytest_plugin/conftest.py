import textwrap

import pytest

from asyncunit import pytest_plugin


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest on the text of a module, with asyncunit's plugin and no other that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text=None, *args, **files):
        if files:
            pytester.makepyfile(**{name: textwrap.dedent(source) for name, source in files.items()})
        if text is not None:
            header = "import asyncio, contextlib, contextvars, unittest\nimport pytest\nimport asyncunit\n"
            pytester.makepyfile(header + textwrap.dedent(text))
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-Wdefault", *args, plugins=[pytest_plugin])

    return run
