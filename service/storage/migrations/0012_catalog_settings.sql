-- How a catalog learns from interactions. `interaction_weights` is a JSON object of weights by type,
-- with only the types that the catalog sets.
ALTER TABLE catalogs ADD COLUMN signals TEXT NOT NULL DEFAULT 'server';
ALTER TABLE catalogs ADD COLUMN interaction_weights TEXT NOT NULL DEFAULT '{}';
ALTER TABLE catalogs ADD COLUMN new_item_boost REAL NOT NULL DEFAULT 0;
