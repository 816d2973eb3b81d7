-- Requests to paid embedding providers: those under way (`is_sent`), and those that wait for their
-- turn. The estimate counts as spent if the process dies before it notes the actual usage, and
-- `reserved_usd` is the part of the budget that no other request may use. `owner` is the place of
-- the process, which its successor takes over, and `process` the process itself. `is_overdue` means
-- that `expire_us` has passed once, and is now the end of the time in which a living process settles.
CREATE TABLE embedding_requests (
    request_id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    process TEXT NOT NULL,
    space_id INTEGER NOT NULL REFERENCES spaces,
    is_sent INTEGER NOT NULL DEFAULT 0,
    low_priority INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0,
    reserved_usd REAL NOT NULL DEFAULT 0,
    expire_us INTEGER NOT NULL,
    is_overdue INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The texts of requests under way, which no other request may contain.
CREATE TABLE leased_texts (
    space_id INTEGER NOT NULL REFERENCES spaces,
    text_hash BLOB NOT NULL,
    request_id INTEGER NOT NULL REFERENCES embedding_requests ON DELETE CASCADE,
    PRIMARY KEY (space_id, text_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX leased_texts_by_request ON leased_texts (request_id);

-- The vectors of recent query texts that were paid for. Only the newest rows are kept.
CREATE TABLE query_vectors (
    vector_id INTEGER PRIMARY KEY AUTOINCREMENT,
    space_id INTEGER NOT NULL REFERENCES spaces,
    text_hash BLOB NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (space_id, text_hash)
) STRICT;
