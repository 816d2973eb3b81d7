"""The database of one machine, a file that SQLite keeps."""
