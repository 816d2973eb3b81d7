"""Between wire messages and domain values."""
