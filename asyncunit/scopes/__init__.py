"""Which scopes are open; knows of no loop."""
