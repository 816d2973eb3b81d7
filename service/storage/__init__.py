"""The data on disk, with one class for each kind of stored data, over one of two databases."""
