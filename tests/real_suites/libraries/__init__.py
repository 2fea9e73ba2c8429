"""Pools, engines and clients that tests open and something wider keeps, with the libraries themselves; run by hand.

    DATABASE_URL=postgresql://postgres@127.0.0.1:5432/postgres python -m tests.real_suites.libraries

It needs asyncpg, SQLAlchemy, httpx and aiohttp, and a PostgreSQL server. docs/CONTRIBUTING.md says how to come by both.
"""
