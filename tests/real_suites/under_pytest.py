"""Runs suites that are written for pytest-asyncio with it and with asyncunit in its place.

Prints the tests whose outcome differs, and the CPU time with asyncunit as a ratio to that with pytest-asyncio: both run
in turn, and the median of the rounds' ratios counts.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.real_suites.outcomes import Outcome, compare, counted, read_junit, told
from tests.real_suites.sdists import Workshop, environment
from tests.real_suites.suites import ON_PYTEST_ASYNCIO, PytestSuite, named

PYTEST = "pytest==9.2.0"
PYTEST_ASYNCIO = "pytest-asyncio==1.5.0"
BEFORE, AFTER = "pytest-asyncio", "asyncunit"


class Run(NamedTuple):
    """The outcomes of one run, and its CPU time in seconds: that of the process and of those that it waited for."""

    outcomes: dict[str, Outcome]
    seconds: float


def run_once(python: Path, suite: PytestSuite, root: Path, log: Path, time_limit: float) -> Run:
    """Runs SUITE in the folder ROOT; what it prints is in LOG, the outcomes beside it. It has TIME_LIMIT seconds."""
    report = log.with_suffix(".xml")
    report.unlink(missing_ok=True)
    options = ["--continue-on-collection-errors", f"--junit-xml={report}", *suite.options]
    before = _children_seconds()
    with log.open("w", encoding="utf-8") as output, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [str(python), "-m", "pytest", *options],
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=time_limit,
            check=False,
        )
    outcomes = read_junit(report.read_text(encoding="utf-8")) if report.exists() else {}
    return Run(outcomes, _children_seconds() - before)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepared(suite: PytestSuite, workshop: Workshop) -> tuple[dict[str, Path], Path]:
    """The interpreter of each side, and the folder with the tests."""
    pythons = {
        BEFORE: workshop.python(f"{suite.name} on {BEFORE}", PYTEST, PYTEST_ASYNCIO, *suite.needs),
        AFTER: workshop.python(f"{suite.name} on {AFTER}", PYTEST, *suite.needs),
    }
    workshop.install_asyncunit(pythons[AFTER])
    source = workshop.source(suite.source)
    root = workshop.folder / "roots" / suite.name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name in suite.copied:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        copy(source / name, root / name)
    return pythons, root


def report(suite: PytestSuite, workshop: Workshop, rounds: int, time_limit: float) -> int:
    """Runs SUITE in turn on both; prints and counts what differs, and prints the ratio of CPU time."""
    pythons, root = prepared(suite, workshop)
    logs = workshop.folder / "logs"
    logs.mkdir(exist_ok=True)
    runs: dict[str, list[Run]] = {BEFORE: [], AFTER: []}
    for _ in range(rounds):
        for side, python in pythons.items():
            log = logs / f"{suite.name}-on-{side}.log"
            runs[side].append(run_once(python, suite, root, log, time_limit))
    for side, made in runs.items():
        seconds = median(run.seconds for run in made)
        print(f"{suite.name} on {side}: {counted(made[0].outcomes)}; {seconds:.2f} s of CPU time")
    ratios = [after.seconds / before.seconds for before, after in zip(runs[BEFORE], runs[AFTER], strict=True)]
    print(f"  CPU time: {median(ratios):.2f} of pytest-asyncio's ({min(ratios):.2f} to {max(ratios):.2f})")
    differing = compare(runs[BEFORE][0].outcomes, runs[AFTER][0].outcomes)
    for line in told({AFTER: differing}):
        print(f"  {line}", flush=True)
    return len(differing)


def main() -> int:
    """The program; its exit status is 0 where nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_suites.under_pytest", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"suites: {', '.join(suite.name for suite in ON_PYTEST_ASYNCIO)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs, for the CPU time")
    parser.add_argument(
        "--folder", type=Path, help="keeps what is fetched and each run's output, for one version of Python"
    )
    parser.add_argument("--time-limit", type=float, default=600, help="seconds for one run of one suite")
    options = parser.parse_args()
    suites = named(ON_PYTEST_ASYNCIO, options.names)
    with tempfile.TemporaryDirectory() as temporary:
        workshop = Workshop(options.folder or Path(temporary))
        workshop.folder.mkdir(parents=True, exist_ok=True)
        differing = [report(suite, workshop, options.rounds, options.time_limit) for suite in suites]
    return 1 if any(differing) else 0


if __name__ == "__main__":
    sys.exit(main())
