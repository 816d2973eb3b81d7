"""Recommends items: from a source to a ranked, explained answer."""
