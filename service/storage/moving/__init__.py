"""Moves all data of a store into another one, while servers go on using the source."""
