"""The limits of the contract, which its comments quote. `X_DEFAULT` is the default of limit X."""

from __future__ import annotations

MESSAGE_BYTES = 16 * 1024 * 1024
ID_BYTES = 256
TEXT_BYTES = 1024 * 1024
ATTRIBUTES_BYTES = 64 * 1024
ATTRIBUTES_KEYS = 256
ATTRIBUTES_DEPTH = 4
PREFERENCES = 100
PREFERENCES_BYTES = 8 * 1024 * 1024
LIKED_ITEMS = 10_000
WEIGHT = 1000.0
EXAMPLES = 100
EXAMPLES_BYTES = 8 * 1024 * 1024
EXCLUDED_ITEMS = 10_000
BATCH_QUERIES = 100
FILTER_CONDITIONS = 100
FILTER_DEPTH = 8
FILTER_VALUES = 1_000
FILTER_BYTES = 64 * 1024
FILTER_ATTRIBUTE_BYTES = 1024
EXPLANATIONS = 5
EXPLANATION_CHARACTERS = 200
RECOMMENDATIONS = 1_000
RECOMMENDATIONS_DEFAULT = 10
OUTLIERS = 1_000
OUTLIERS_DEFAULT = 20
CLUSTERS = 1_000
REPRESENTATIVES = 100
REPRESENTATIVES_DEFAULT = 5
POINTS = 100_000
LABEL_NEIGHBORS = 1_000
LABEL_NEIGHBORS_DEFAULT = 20
LABELS = 1_000
LABELS_DEFAULT = 10
PASSAGES = 1_000
PASSAGES_DEFAULT = 10
IMPORT_ITEMS = 1_000
IMPORT_USERS = 1_000
INTERACTIONS = 1_000
INTERACTION_FUTURE_US = 86_400_000_000
INTERACTION_TYPES = 32
NEW_ITEM_BOOST = 10.0
BOOSTS = 10
BOOST_WEIGHT = 10.0
PRIOR_WEIGHT = 1.0
BATCH_ITEMS = 1_000
UPDATE_MASK_PATHS = 1_000
PAGE_ITEMS = 1_000
PAGE_ITEMS_DEFAULT = 100
CATALOGS = 10_000
CATALOGS_DEFAULT = 100
TEMPLATE_BYTES = 4_096
DIMENSIONS = 65_536

# The vectors of a text can be written back as vectors of the caller: a text of 1 MiB has fewer
# chunks of 160 tokens or more, even with a token for each byte and the worst borders. With 256
# dimensions, the size of a message is about the same limit.
OWN_VECTORS = 16_384

# A page ends once it has this many bytes of JSON, or of vectors. A Struct takes up to 2.2 times as
# many bytes in a message, so the page with its last item stays below gRPC's default limit of 4 MiB,
# unless the vectors of that item are large.
PAGE_BYTES = 1024 * 1024

# The half-life of interactions for popular items, in days.
MIN_HALF_LIFE_DAYS = 0.01
MAX_HALF_LIFE_DAYS = 36_500.0
