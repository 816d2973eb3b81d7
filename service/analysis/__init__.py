"""Answers questions about a catalog as a whole."""
