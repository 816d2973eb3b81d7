"""Turns texts into unit vectors: the embedders and the queue in front of them."""
