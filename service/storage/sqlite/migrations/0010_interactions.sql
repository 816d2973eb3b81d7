-- What users did with items, of each user by time. `interaction_id` is empty if the caller gave none.
CREATE TABLE interactions (
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    user_id TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    item_id TEXT NOT NULL,
    type TEXT NOT NULL,
    interaction_id TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (catalog_id, user_id, time_us, item_id, type, interaction_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX interactions_by_id ON interactions (catalog_id, interaction_id)
    WHERE interaction_id <> '';

-- The number of interactions of a catalog, which would take long to count.
ALTER TABLE catalogs ADD COLUMN interaction_count INTEGER NOT NULL DEFAULT 0;
