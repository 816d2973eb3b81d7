"""What Akin speaks of: items, users, spaces and recommendations, with their limits.

Plain frozen values that import nothing else of ours.
"""
