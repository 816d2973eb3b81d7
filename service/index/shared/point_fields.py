"""The fields in the payload of a point that filters read."""

from __future__ import annotations

# A list of hashes of the point's paths, values and numbers.
HASHES_FIELD = "h"

# An object from the name of a path to the list of the blocks of the numbers there, for ranges.
NUMBERS_FIELD = "n"
