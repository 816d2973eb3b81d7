"""The database of several machines, which PostgreSQL keeps."""
