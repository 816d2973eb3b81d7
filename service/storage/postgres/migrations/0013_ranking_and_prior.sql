-- How a catalog recommends: the ranking, and as JSON the attribute of its prior with the weight, or null
-- for that of the server's settings.
ALTER TABLE catalogs ADD COLUMN ranking TEXT NOT NULL DEFAULT 'server';
ALTER TABLE catalogs ADD COLUMN prior TEXT NOT NULL DEFAULT 'null';
