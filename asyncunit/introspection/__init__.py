"""What Python can tell of code, frames and tasks; nothing here runs any."""
