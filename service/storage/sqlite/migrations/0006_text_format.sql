-- The format of the texts of a catalog's items: `plain` or `html`.
ALTER TABLE catalogs ADD COLUMN text_format TEXT NOT NULL DEFAULT 'plain';
