-- How a catalog learns from interactions. `interaction_weights` is a JSON object of weights by type,
-- with only the types that the catalog sets.
ALTER TABLE catalogs ADD COLUMN signals TEXT NOT NULL DEFAULT 'server';
ALTER TABLE catalogs ADD COLUMN interaction_weights TEXT NOT NULL DEFAULT '{}';
ALTER TABLE catalogs ADD COLUMN new_item_boost REAL NOT NULL DEFAULT 0;

-- The recommendation_id of the response that led to an interaction; empty if another cause did.
ALTER TABLE interactions ADD COLUMN recommendation_id TEXT NOT NULL DEFAULT '';

-- How many responses of a day had recommendations, and how many of these led to an interaction.
-- `day` is in UTC, in days since 1970.
CREATE TABLE click_through (
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    day INTEGER NOT NULL,
    source TEXT NOT NULL,
    signals TEXT NOT NULL,
    response_count INTEGER NOT NULL DEFAULT 0,
    clicked_response_count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (catalog_id, day, source, signals)
) STRICT, WITHOUT ROWID;

-- The responses that led to an interaction, so that each counts once. The interactions themselves do
-- not tell: they can be deleted, and weights of types can change.
CREATE TABLE clicked_responses (
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    day INTEGER NOT NULL,
    number BLOB NOT NULL,
    PRIMARY KEY (catalog_id, day, number)
) STRICT, WITHOUT ROWID;
