"""Suites of others, run by hand: with the base class replaced, and with asyncunit in place of pytest-asyncio.

    python -m tests.real_suites [NAME ...]
    python -m tests.real_suites.under_pytest [NAME ...]

Both fetch the suites' source distributions by pip, so they need the network; the tests beside them do not.
"""
