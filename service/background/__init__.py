"""The loops that run when nobody calls."""
