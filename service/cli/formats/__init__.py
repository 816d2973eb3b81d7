"""Readers of the files that commands accept: one module for each format, with one interface.

A reader takes a stream of bytes and returns `Records`. It reads the stream once, from start to end,
so that pipes work and memory stays bounded. `detection.open_records` chooses the reader.
"""
