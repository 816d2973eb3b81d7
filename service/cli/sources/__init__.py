"""Readers of other vector stores: one module for each, with one interface.

A reader takes the address of a collection or table and yields `SourcePoint`s, a page at a time, so
that memory stays bounded. `source_urls.open_source` chooses the reader, and `point_mapping` turns
points into items.
"""
