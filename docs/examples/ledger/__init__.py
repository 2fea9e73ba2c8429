"""The program under test: accounts in a SQLite file, served over TCP, one line of JSON for each request."""

from ledger.client import Client
from ledger.service import serve
from ledger.store import InsufficientFunds, Store

__all__ = ["Client", "InsufficientFunds", "Store", "serve"]
