"""What a finished scope left behind: one module for each name in ``fail_on``."""
