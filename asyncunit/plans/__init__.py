"""What will run, and with what: worked out as classes are defined; opens nothing."""
