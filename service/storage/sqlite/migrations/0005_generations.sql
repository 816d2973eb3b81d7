-- A generation is all items of a catalog as vectors of one space. One is `serving`. During a
-- re-embedding the next one is `embedding` or `indexing`; after the switch the former one is
-- `previous`. Rows of a `cancelled` or `dropped` generation are being removed, those of a `dropped`
-- one with the vectors that no other generation can use.
ALTER TABLE layers RENAME TO generations;
ALTER TABLE generations RENAME COLUMN layer_id TO generation_id;
ALTER TABLE item_vectors RENAME COLUMN layer_id TO generation_id;
ALTER TABLE pending RENAME COLUMN layer_id TO generation_id;
UPDATE generations SET state = 'previous' WHERE state = 'kept';

ALTER TABLE spend RENAME TO token_usage;

UPDATE spaces SET fingerprint =
    replace(fingerprint, '"normalisation": ', '"normalization": ');

-- `reason` is the code of the error that keeps an item pending, `message` its explanation. The code
-- of older rows follows from their message, or from an attempt that was put off for good.
ALTER TABLE pending RENAME COLUMN reason TO message;
ALTER TABLE pending ADD COLUMN reason TEXT NOT NULL DEFAULT '';
UPDATE pending SET reason = CASE
    WHEN next_attempt_us >= 1 << 62 THEN 'TEXT_REJECTED'
    WHEN message LIKE 'today''s budget for embedding%' THEN 'BUDGET_SPENT'
    ELSE 'EMBEDDING_UNAVAILABLE' END;

-- The code and the explanation of the error that stops the background embedding of a generation.
ALTER TABLE generations RENAME COLUMN problem TO problem_message;
ALTER TABLE generations ADD COLUMN problem_reason TEXT NOT NULL DEFAULT '';
UPDATE generations SET problem_reason = CASE
    WHEN problem_message LIKE 'today''s budget for embedding%' THEN 'BUDGET_SPENT'
    ELSE 'EMBEDDING_UNAVAILABLE' END
    WHERE problem_message != '';
