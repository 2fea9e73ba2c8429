"""Runs the suites on each loop that is installed, with all checks, and prints what was not expected."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter

PACKAGE = "tests.real_suites.libraries"

# What is to be found in each run, by the name that the report has for it.
RUNS: dict[tuple[str, ...], list[str]] = {
    ("kept",): [],
    ("handed_on", "handed_on_again"): [],
    ("forgotten",): [
        "test_a_connection",
        "test_b_pool",
        "test_c_engine",
        "test_d_httpx",
        "test_e_aiohttp",
        "tearDownClass",
        "tearDownModule",
    ],
}


def found_in(loop: str, modules: tuple[str, ...]) -> tuple[Counter[str], str]:
    """What the run of the modules on a loop reports, and all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "unittest", *(f"{PACKAGE}.{module}" for module in modules)],
        env=os.environ | {"ASYNCUNIT_FAIL_ON": "all", "ASYNCUNIT_LOOP_FACTORY": f"{loop}:new_event_loop"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    ran = re.search(r"^Ran \d+ tests", done.stdout, re.MULTILINE)
    print(f"  {', '.join(modules)}: {ran[0] if ran else 'did not run'}")
    return Counter(re.findall(r"^(?:ERROR|FAIL): (\S+)", done.stdout, re.MULTILINE)), done.stdout


def main() -> bool:
    """Whether all was as expected."""
    is_as_expected = True
    for loop in ("asyncio", "uvloop"):
        if importlib.util.find_spec(loop) is None:
            continue
        print(f"Python {sys.version.split()[0]}, {loop}")
        for modules, expected in RUNS.items():
            found, text = found_in(loop, modules)
            if found != Counter(expected) or "Ran " not in text:
                is_as_expected = False
                print(text)
                print(f"  found {sorted(found)}, and not {sorted(expected)}")
    return is_as_expected


if __name__ == "__main__":
    sys.exit(not main())
