"""Recommends items: turns a source into ranked, explained items."""
