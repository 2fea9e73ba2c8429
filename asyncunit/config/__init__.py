"""What is configured, wherever it is written."""
