"""A fuzz of every method that a server serves, driven by the descriptors of its reflection."""
