"""Store and forward: one SQLite database, one writer, one transaction for everything that belongs together."""
