-- The vectors of a long text's passages after the first, which items.vector_id names.
CREATE TABLE more_vectors (
    item_key INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    position INTEGER NOT NULL,
    vector_id INTEGER NOT NULL REFERENCES vectors,
    PRIMARY KEY (item_key, position)
) STRICT, WITHOUT ROWID;

-- What embedding took, by day of UTC.
CREATE TABLE spend (
    day TEXT PRIMARY KEY,
    prompt_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Spaces have a template for queries now; those made so far used the bare text.
UPDATE spaces SET fingerprint =
    replace(fingerprint, '"template": ', '"query_template": "{text}", "template": ');

-- Counting a catalog's items reads this instead of the items themselves.
CREATE INDEX items_live ON items (catalog_id, expire_time_us) WHERE NOT deleted;
