"""Akin and vector databases, measured in one run with the same vectors and the same load."""
