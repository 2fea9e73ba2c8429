"""Runs suites with the base class replaced, and prints the tests whose outcome differs."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.real_suites import child
from tests.real_suites.outcomes import Outcome, compare, counted, read_outcomes, told
from tests.real_suites.sdists import Workshop, environment
from tests.real_suites.suites import ON_UNITTEST, STANDARD_LIBRARY, Suite, named

SCOPES = ("function", "class", "session")


def run_once(python: Path, suite: Suite, base: str, root: Path, log: Path, time_limit: float) -> dict[str, Outcome]:
    """Runs SUITE on BASE. What it prints is in LOG, the outcomes beside it. It has TIME_LIMIT seconds."""
    outcomes = log.with_suffix(".outcomes")
    outcomes.unlink(missing_ok=True)
    command = [str(python), "-P", child.__file__, "--base", base, str(outcomes), *suite.modules(root)]
    with log.open("w", encoding="utf-8") as output, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command,
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=time_limit,
            check=False,
        )
    return read_outcomes(outcomes.read_text(encoding="utf-8").splitlines()) if outcomes.exists() else {}


def report(suite: Suite, workshop: Workshop, scopes: list[str], time_limit: float) -> int:
    """Runs SUITE on unittest's base and on asyncunit's at each of SCOPES; prints and counts what differs."""
    root = workshop.source(suite.source) if suite.source else STANDARD_LIBRARY
    python = workshop.python(suite.name, *suite.needs)
    workshop.install_asyncunit(python)
    logs = workshop.folder / "logs"
    logs.mkdir(exist_ok=True)
    found: dict[str, dict[str, Outcome]] = {}
    for base in (child.UNREPLACED, *scopes):
        found[base] = run_once(python, suite, base, root, logs / f"{suite.name}-{base}.log", time_limit)
        print(f"{suite.name} on {base}: {counted(found[base])}", flush=True)
    differences = {scope: compare(found[child.UNREPLACED], found[scope]) for scope in scopes}
    for line in told(differences):
        print(f"  {line}", flush=True)
    return sum(map(len, differences.values()))


def main() -> int:
    """The program; its exit status is 0 where nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_suites", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"suites: {', '.join(suite.name for suite in ON_UNITTEST)}")
    parser.add_argument("--scope", action="append", choices=SCOPES, help="only at this loop scope; may be repeated")
    parser.add_argument(
        "--folder", type=Path, help="keeps what is fetched and each run's output, for one version of Python"
    )
    parser.add_argument("--time-limit", type=float, default=600, help="seconds for one run of one suite")
    options = parser.parse_args()
    suites = named(ON_UNITTEST, options.names)
    with tempfile.TemporaryDirectory() as temporary:
        workshop = Workshop(options.folder or Path(temporary))
        workshop.folder.mkdir(parents=True, exist_ok=True)
        differing = [report(suite, workshop, options.scope or list(SCOPES), options.time_limit) for suite in suites]
    return 1 if any(differing) else 0


if __name__ == "__main__":
    sys.exit(main())
