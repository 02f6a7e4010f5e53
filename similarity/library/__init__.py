"""Vector stores, their files and chunks, in SQLite."""
