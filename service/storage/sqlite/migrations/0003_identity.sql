-- Tells this store from every other, so that what was derived from another is not taken for its own.
CREATE TABLE identity (
    store_id TEXT NOT NULL
) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(16))));
