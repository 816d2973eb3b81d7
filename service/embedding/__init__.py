"""Turns texts into unit vectors: embedders, the batch queue in front of them, and their budget."""
