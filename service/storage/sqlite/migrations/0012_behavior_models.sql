-- What a catalog learned from likes. The arrays of its model are in pieces, so that no transaction
-- takes long. Pieces of another training than that of the model are being written or removed.
CREATE TABLE behavior_models (
    catalog_id INTEGER PRIMARY KEY REFERENCES catalogs,
    train_time_us INTEGER NOT NULL,
    summary TEXT NOT NULL
) STRICT;
CREATE TABLE behavior_model_pieces (
    catalog_id INTEGER NOT NULL REFERENCES catalogs,
    train_time_us INTEGER NOT NULL,
    array TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (catalog_id, train_time_us, array, number)
) STRICT;

-- How many likes a catalog has ever recorded or changed, and how often likes were deleted from it.
ALTER TABLE catalogs ADD COLUMN like_change_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE catalogs ADD COLUMN like_deletion_count INTEGER NOT NULL DEFAULT 0;
UPDATE catalogs SET like_change_count = (
    SELECT coalesce(sum(json_array_length(liked_items)), 0) FROM users
    WHERE users.catalog_id = catalogs.catalog_id
) + interaction_count;

-- The like_change_count of the catalog when the item was created.
ALTER TABLE items ADD COLUMN likes_before INTEGER NOT NULL DEFAULT 0;
CREATE INDEX items_by_likes_before ON items (catalog_id, likes_before) WHERE likes_before > 0;
