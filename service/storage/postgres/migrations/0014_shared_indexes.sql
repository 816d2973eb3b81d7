-- The kind of index that serves a catalog, and the one that it changes to, if any: see
-- domain/index_kinds.py.
ALTER TABLE catalogs ADD COLUMN index_kind TEXT NOT NULL DEFAULT 'memory';
ALTER TABLE catalogs ADD COLUMN next_index_kind TEXT;

-- The collection of a vector database with the vectors of a generation: see domain/shared_indexes.py. A
-- row outlives its generation until the collection is deleted, so it does not refer to it.
CREATE TABLE shared_indexes (
    generation_id BIGINT PRIMARY KEY,
    version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reached BIGINT NOT NULL,
    anchor_sequence BIGINT NOT NULL,
    anchor_token BIGINT NOT NULL,
    target BIGINT NOT NULL,
    item_count BIGINT NOT NULL,
    dropped_us BIGINT
);

-- What scores depend on besides the vectors that they compare, computed once for all processes. Programs
-- that do not know the table remove generations, too.
CREATE TABLE corpus_statistics (
    generation_id BIGINT PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    version BIGINT NOT NULL,
    statistics BYTEA NOT NULL
);
-- Numbers of vectors do not compress: it would cost time for nothing.
ALTER TABLE corpus_statistics ALTER COLUMN statistics SET STORAGE EXTERNAL;
