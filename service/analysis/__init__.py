"""Analyzes a catalog: near-duplicates, outliers, clusters, labels and passages."""
