-- A layer is all items of a catalog as vectors of one space. One serves; while the catalog is being
-- re-embedded, and until that is finished, there is a second one: embedding, indexing or kept. What
-- is cancelled is being removed, and what is dropped with the vectors that nothing else uses.
CREATE TABLE layers (
    layer_id INTEGER PRIMARY KEY AUTOINCREMENT,
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    space_id INTEGER NOT NULL REFERENCES spaces,
    dimensions_asked INTEGER NOT NULL,
    state TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO layers (layer_id, catalog_id, space_id, dimensions_asked, state, start_us)
    SELECT catalog_id, catalog_id, space_id, 0, 'serving', 0 FROM catalogs;

-- The vectors of an item's passages in a layer. Items and vectors are removed in bulk, when what
-- names them is gone; a check of each would read this whole table, so there is none.
CREATE TABLE item_vectors (
    layer_id INTEGER NOT NULL REFERENCES layers,
    item_key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    vector_id INTEGER NOT NULL,
    PRIMARY KEY (layer_id, item_key, position)
) STRICT, WITHOUT ROWID;
INSERT INTO item_vectors SELECT catalog_id, item_key, 0, vector_id FROM items
    WHERE vector_id IS NOT NULL;
INSERT INTO item_vectors SELECT catalog_id, item_key, position, more_vectors.vector_id
    FROM more_vectors JOIN items USING (item_key);
DROP TABLE more_vectors;

-- Items whose present text waits to be embedded for a layer.
CREATE TABLE new_pending (
    layer_id INTEGER NOT NULL REFERENCES layers,
    item_key INTEGER NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_us INTEGER NOT NULL,
    PRIMARY KEY (layer_id, item_key)
) STRICT, WITHOUT ROWID;
INSERT INTO new_pending SELECT catalog_id, item_key, reason, attempts, next_attempt_us
    FROM pending JOIN items USING (item_key);
DROP TABLE pending;
ALTER TABLE new_pending RENAME TO pending;
CREATE INDEX pending_by_time ON pending (layer_id, next_attempt_us);

-- `sequence` is the caller's version; `change_sequence` also moves when the item's vector arrives.
-- A deleted item stays as a tombstone, so that whoever follows the sequence learns of it.
CREATE TABLE new_items (
    item_key INTEGER PRIMARY KEY AUTOINCREMENT,
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    item_id TEXT NOT NULL,
    text TEXT NOT NULL,
    attributes TEXT NOT NULL,
    expire_time_us INTEGER,
    sequence INTEGER NOT NULL,
    change_sequence INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    UNIQUE (catalog_id, item_id)
) STRICT;
INSERT INTO new_items SELECT item_key, catalog_id, item_id, text, attributes, expire_time_us,
    sequence, change_sequence, update_time_us, deleted FROM items;
DROP TABLE items;
ALTER TABLE new_items RENAME TO items;
CREATE INDEX items_by_change ON items (catalog_id, change_sequence);
CREATE INDEX items_by_expiry ON items (expire_time_us) WHERE expire_time_us IS NOT NULL;
CREATE INDEX items_live ON items (catalog_id, expire_time_us) WHERE NOT deleted;

-- `own_model` tells that the catalog's model is its own, and not what the settings say. A deleted
-- catalog has no name until all that was in it is removed; its number is never used again.
CREATE TABLE new_catalogs (
    catalog_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,
    vector_storage TEXT NOT NULL,
    own_model INTEGER NOT NULL
) STRICT;
INSERT INTO new_catalogs SELECT catalog_id, name, '', 0 FROM catalogs;
DROP TABLE catalogs;
ALTER TABLE new_catalogs RENAME TO catalogs;

-- Grows with every change of catalogs and layers.
INSERT INTO counters VALUES ('catalogs', 0);
