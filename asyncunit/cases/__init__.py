"""Under unittest: AsyncTestCase, and what unittest asks of it."""
