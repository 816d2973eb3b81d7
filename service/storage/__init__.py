"""The data on disk: one SQLite database, with one class for each kind of stored data."""
