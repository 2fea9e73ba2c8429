"""``python -m asyncunit``: as ``python -m unittest``, with asyncunit's loader."""

import sys

if sys.argv[0].endswith("__main__.py"):
    # The name of the command in its help, as unittest has it.
    sys.argv[0] = "python -m asyncunit"

from asyncunit.cases.program import main

__unittest = True

main(module=None)
