"""Pictures: maps, charts and their labels."""
