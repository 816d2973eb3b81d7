-- The kind of index that serves a catalog, and the one that it changes to, if any: see
-- domain/index_kinds.py.
ALTER TABLE catalogs ADD COLUMN index_kind TEXT NOT NULL DEFAULT 'memory';
ALTER TABLE catalogs ADD COLUMN next_index_kind TEXT;

-- The collection of a vector database with the vectors of a generation: see domain/shared_indexes.py. A
-- row outlives its generation until the collection is deleted, so it does not refer to it.
CREATE TABLE shared_indexes (
    generation_id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    reached INTEGER NOT NULL,
    anchor_sequence INTEGER NOT NULL,
    anchor_token INTEGER NOT NULL,
    target INTEGER NOT NULL,
    item_count INTEGER NOT NULL,
    dropped_us INTEGER
) STRICT;

-- What scores depend on besides the vectors that they compare, computed once for all processes. Programs
-- that do not know the table remove generations, too.
CREATE TABLE corpus_statistics (
    generation_id INTEGER PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    version INTEGER NOT NULL,
    statistics BLOB NOT NULL
) STRICT;
