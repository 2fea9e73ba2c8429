"""Event loops, and the one task of a scope; knows of no fixture, no check, no runner of tests."""
