-- Users whose present preferences have no vectors in a generation yet, because its model did not
-- embed them in time. The next attempt comes at `next_attempt_us` or later.
CREATE TABLE pending_users (
    generation_id INTEGER NOT NULL REFERENCES generations,
    user_key INTEGER NOT NULL,
    next_attempt_us INTEGER NOT NULL,
    PRIMARY KEY (generation_id, user_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_users_by_time ON pending_users (generation_id, next_attempt_us);
