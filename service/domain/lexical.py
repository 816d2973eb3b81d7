"""How much exact words count in searches for a text."""

from __future__ import annotations

# It raises the MRR of vectors by 50% to 80% for names and keywords, and costs a sixteenth of it on
# the paraphrases that suffer most: see bench/README.md.
DEFAULT_LEXICAL_WEIGHT = 0.6

# Words that an explanation lists, at most.
MATCHED_WORDS = 20
