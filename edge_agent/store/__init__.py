"""What must survive: events, baselines and the ledger, committed together into one SQLite database (reliability.md)."""
