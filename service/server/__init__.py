"""Processes and lifetime."""
