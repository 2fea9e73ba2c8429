"""What happens in an open scope, and in which order."""
