"""Tests of shared indexes over a real cluster of Qdrant: `make test-cluster` runs them."""
