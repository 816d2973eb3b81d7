"""Where nearest vectors are found: int64 keys and unit vectors in, keys and cosines out."""
