-- The vectors of a user's preferences in a generation.
CREATE TABLE user_vectors (
    generation_id INTEGER NOT NULL REFERENCES generations,
    user_key INTEGER NOT NULL,
    vector_id INTEGER NOT NULL,
    PRIMARY KEY (generation_id, user_key, vector_id)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO user_vectors SELECT generation_id, user_key, vector_id
    FROM users JOIN generations USING (catalog_id) JOIN spaces USING (space_id)
    CROSS JOIN json_each(users.preferences) AS preference
    JOIN vectors ON vectors.space_id = spaces.space_id AND vectors.text_hash = hash_text(replace(
        json_extract(fingerprint, '$.query_template'), '{text}',
        json_extract(preference.value, '$[0]')));

-- Whether anything refers to a vector.
CREATE INDEX item_vectors_by_vector ON item_vectors (vector_id);
CREATE INDEX user_vectors_by_vector ON user_vectors (vector_id);

-- Vectors that lost a reference, or were stored without one, at that time. They are removed after a
-- while, unless something refers to them then.
CREATE TABLE unused_vectors (
    vector_id INTEGER PRIMARY KEY REFERENCES vectors ON DELETE CASCADE,
    space_id INTEGER NOT NULL REFERENCES spaces,
    since_us INTEGER NOT NULL
) STRICT;
CREATE INDEX unused_vectors_by_time ON unused_vectors (space_id, since_us);
INSERT INTO unused_vectors
    SELECT vector_id, space_id, CAST(strftime('%s', 'now') AS INTEGER) * 1000000 FROM vectors
    WHERE vector_id NOT IN (SELECT vector_id FROM item_vectors)
    AND vector_id NOT IN (SELECT vector_id FROM user_vectors);

-- Tombstones are removed, too. `purged_sequence` is the change sequence of the last one removed: what
-- has followed the catalog only up to an earlier number must compare its items with the table.
ALTER TABLE catalogs ADD COLUMN purged_sequence INTEGER NOT NULL DEFAULT 0;
CREATE INDEX items_deleted ON items (catalog_id, change_sequence) WHERE deleted;
