"""The fields in the payload of a point that filters read."""

from __future__ import annotations

# A list of hashes of the point's values and paths, for tests of equality and existence.
HASHES_FIELD = "h"

# An object from the name of a path to the list of the numbers there, for ranges.
NUMBERS_FIELD = "n"
