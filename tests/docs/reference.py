"""The generated parts of docs/reference.md, and docs/plan.svg: ``python -m tests.docs.reference`` writes them anew."""

import html
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import asyncunit
from asyncunit import mixins
from asyncunit.config import MEANINGS
from asyncunit.config.settings import Config

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "reference.md"
PICTURE = DOCS / "plan.svg"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.S)


def _signature(function):
    """The parameters, without annotations, and without self or cls."""
    written = inspect.signature(getattr(function, "__func__", function))
    parameters = [
        each.replace(annotation=each.empty) for name, each in written.parameters.items() if name not in ("self", "cls")
    ]
    return re.sub(r"<[^<>]*>", "...", str(written.replace(parameters=parameters, return_annotation=written.empty)))


def _text(thing):
    """A docstring as Markdown."""
    text = inspect.getdoc(thing) or ""
    return re.sub(r"::$", ":", text.replace("``", "`"), flags=re.M)


def _entry(name, thing):
    return f"**`{name}`**\n\n{_text(thing)}\n"


def classes():
    """The test classes, and what AsyncTestCase has beyond unittest's."""
    lines = [
        f"| `{name}` | {_text(getattr(asyncunit, name)).splitlines()[0]} |"
        for name in asyncunit.__all__
        if name.endswith("LoopTestCase")
    ]
    own = [
        _entry(f"{name}{_signature(member)}", getattr(member, "__func__", member))
        for cls in asyncunit.AsyncTestCase.__mro__
        if cls.__module__.startswith("asyncunit.")
        for name, member in vars(cls).items()
        if not name.startswith("_") and callable(getattr(member, "__func__", member))
    ]
    head = _entry("AsyncTestCase", asyncunit.AsyncTestCase)
    return "\n".join([head, "| class | |\n|---|---|", *lines, "", *own])


def functions():
    """The decorators and functions."""
    found = []
    for name in asyncunit.__all__:
        thing = getattr(asyncunit, name)
        is_class = isinstance(thing, type)
        if inspect.isfunction(thing) or name in ("main", "settings", "AsyncTestLoader", "Fixture", "Request", "Scope"):
            shown = name if is_class and name != "settings" else f"{name}{_signature(thing)}"
            found.append(_entry(shown, thing))
    return "\n".join(found)


def ready_made():
    """The mixins, with their fixtures."""
    found = []
    for name in mixins.__all__:
        mixin = getattr(mixins, name)
        if isinstance(mixin, type):
            found.append(_entry(f"mixins.{name}", mixin))
            found += [
                f"- `{each}` (scope `{member.scope}`): {_text(member.function).splitlines()[0]}"
                for each, member in vars(mixin).items()
                if isinstance(member, asyncunit.Fixture)
            ]
            found.append("")
    return "\n".join(found)


def keys():
    """The keys of the configuration."""
    default = Config()
    lines = ["| key | default | meaning | in the environment | of pytest |", "|---|---|---|---|---|"]
    for key, meaning in MEANINGS.items():
        value = getattr(default, key)
        shown = ", ".join(sorted(value)) if isinstance(value, frozenset | tuple) else str(value).lower()
        option = f"--asyncunit-{key.replace('_', '-')}"
        lines.append(
            f"| `{key}` | {shown or 'none'} | {meaning} | `ASYNCUNIT_{key.upper()}` | `{option}`, `asyncunit_{key}` |"
        )
    return "\n".join(lines)


def errors():
    """The exceptions and warnings."""
    lines = ["| exception | |", "|---|---|"]
    for name in asyncunit.errors.__all__:
        bases = " ".join(f"`{base.__name__}`" for base in getattr(asyncunit, name).__bases__)
        lines.append(f"| `{name}` ({bases}) | {_text(getattr(asyncunit, name)).splitlines()[0]} |")
    return "\n".join(lines)


def rewritten(page):
    """The page with its generated parts as they are to be."""
    made = {each.__name__: each for each in (classes, functions, ready_made, keys, errors)}
    return _PART.sub(lambda found: f"{found[1]}\n{made[found[2]]().strip()}\n\n{found[3]}", page)


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"
     xml:space="preserve">
  <title>What python -m asyncunit plan draws of the example suite</title>
  <style>
    text {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px; white-space: pre; fill: #1f2328 }}
    .card {{ fill: #ffffff; stroke: #d0d7de }}
    .line, .why {{ fill: #59636e }}
    .session {{ fill: #8250df }}
    .module {{ fill: #0969da }}
    .class {{ fill: #1a7f37 }}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #e6edf3 }}
      .card {{ fill: #0d1117; stroke: #3d444d }}
      .line, .why {{ fill: #9198a1 }}
      .session {{ fill: #bf8cff }}
      .module {{ fill: #58a6ff }}
      .class {{ fill: #3fb950 }}
    }}
  </style>
  <rect class="card" x="0.5" y="0.5" width="{right}" height="{bottom}" rx="8"/>
{lines}
</svg>
"""


def picture():
    """The plan of the example suite, as an image."""
    command = [sys.executable, "-m", "asyncunit", "plan"]
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, cwd=DOCS / "examples", env=environment, capture_output=True, encoding="utf-8", check=True
    )
    plan = done.stdout.splitlines()
    lines = [f'  <text x="16" y="{28 + 19 * number}">{_drawn(line)}</text>' for number, line in enumerate(plan)]
    width, height = 32 + 8 * max(map(len, plan)), 24 + 19 * len(plan)
    return _SVG.format(width=width, height=height, right=width - 1, bottom=height - 1, lines="\n".join(lines))


def _drawn(line):
    branch, rest = re.fullmatch(r"([│├└─ ]*)(.*)", line).groups()
    rest = html.escape(rest, quote=False)
    rest = re.sub(
        r"on (the (\w+) loop) (\(.*\))", r'on <tspan class="\2">\1</tspan> <tspan class="why">\3</tspan>', rest
    )
    rest = re.sub(r"(fixtures: .*)", r'<tspan class="why">\1</tspan>', rest)
    branch = branch.replace(" ", "\u00a0")  # other spaces are not drawn everywhere
    return f'<tspan class="line">{branch}</tspan>{rest}' if branch else rest


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
    PICTURE.write_text(picture(), encoding="utf-8")
