"""The schema as numbered steps. A released step never changes."""
