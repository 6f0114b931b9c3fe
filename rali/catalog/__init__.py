"""What we remember: the SQLite catalog."""
