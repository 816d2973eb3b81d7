#!/usr/bin/env bash
# Runs a standby of the server PRIMARY (default: primary). The first start copies its data; PGPASSWORD is the password of
# its role `replicator`.
set -euo pipefail

if [ ! -d "$PGDATA" ]; then
    rm -rf "$PGDATA.partial" # of a start that was killed
    # The primary knows this standby by its application_name.
    pg_basebackup --pgdata="$PGDATA.partial" --write-recovery-conf --checkpoint=fast \
        --dbname="host=${PRIMARY:-primary} user=replicator application_name=standby connect_timeout=3"
    # After a promotion, this server has no standby to wait for, until you give it one.
    echo "synchronous_standby_names = ''" >>"$PGDATA.partial/postgresql.auto.conf"
    mv "$PGDATA.partial" "$PGDATA"
fi
exec postgres "$@"
