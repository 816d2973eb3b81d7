CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('sequence', 0);

CREATE TABLE spaces (
    space_id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE catalogs (
    catalog_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    space_id INTEGER NOT NULL REFERENCES spaces
) STRICT;

-- The only place a vector is kept: float32, little-endian, unit length, found by what it stands for.
CREATE TABLE vectors (
    vector_id INTEGER PRIMARY KEY,
    space_id INTEGER NOT NULL REFERENCES spaces,
    text_hash BLOB NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (space_id, text_hash)
) STRICT;

-- `sequence` is the caller's version; `change_sequence` also moves when the item's vector arrives.
-- A deleted item stays as a tombstone, so that whoever follows the sequence learns of it.
-- `vector_id` is what serves: an older text's vector while the new one is pending.
CREATE TABLE items (
    item_key INTEGER PRIMARY KEY AUTOINCREMENT,
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    item_id TEXT NOT NULL,
    text TEXT NOT NULL,
    attributes TEXT NOT NULL,
    expire_time_us INTEGER,
    vector_id INTEGER REFERENCES vectors,
    sequence INTEGER NOT NULL,
    change_sequence INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    UNIQUE (catalog_id, item_id)
) STRICT;
CREATE INDEX items_by_change ON items (catalog_id, change_sequence);
CREATE INDEX items_by_expiry ON items (expire_time_us) WHERE expire_time_us IS NOT NULL;

-- Items whose present text waits to be embedded.
CREATE TABLE pending (
    item_key INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_us INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_by_time ON pending (next_attempt_us);

CREATE TABLE users (
    user_key INTEGER PRIMARY KEY AUTOINCREMENT,
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    user_id TEXT NOT NULL,
    preferences TEXT NOT NULL,
    liked_items TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    UNIQUE (catalog_id, user_id)
) STRICT;
