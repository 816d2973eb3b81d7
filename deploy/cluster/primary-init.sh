#!/usr/bin/env bash
# Sets up a new primary. The image of PostgreSQL runs this once, before it listens on the network.
set -euo pipefail

psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_PASSWORD" \
    --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
CREATE ROLE akin LOGIN PASSWORD :'password';
CREATE DATABASE akin OWNER akin;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'password';
-- From the next start on, a commit waits until the standby has it on disk. This start would wait without end.
ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)';
SQL
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
