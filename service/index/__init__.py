"""The index of items: unit vectors and attributes in, keys and cosines out."""
