"""Learns from histories which items people like together: arrays in, arrays out."""
