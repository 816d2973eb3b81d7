"""Akin's server: texts in over gRPC, recommendations out.

SQLite is the truth, vectors are content-addressed, the FAISS index is a view that follows the
truth's sequence number, and gRPC is a thin skin.
"""
