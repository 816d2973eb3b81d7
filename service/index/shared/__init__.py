"""What the index in a vector engine that several processes share needs."""
