# Dumps the database of AKIN_STORE into BACKUP_DIR, and keeps the last RETAINED_BACKUPS dumps.
set -eu
umask 077
cd "$BACKUP_DIR"
rm -f akin-*.dump.partial # of a job that was killed; only one job runs at a time

# Others can see command lines. A password in the URL, as user:password@ or as ?password=, goes into the environment,
# without the escapes of URLs (%2F).
url=$AKIN_STORE
for pattern in '^([a-z]+://[^:@/]*):([^@/]*)(@.*)$' '^(.*[?&])password=([^&]*)&?(.*)$'; do
    if [[ $url =~ $pattern ]]; then
        url=${BASH_REMATCH[1]}${BASH_REMATCH[3]}
        password=${BASH_REMATCH[2]//\\/\\\\}
        printf -v PGPASSWORD '%b' "${password//%/\\x}"
        export PGPASSWORD
    fi
done

name="akin-$(date -u +%Y%m%dT%H%M%SZ).dump"
# Snapshots of indexes are in unlogged tables. Akin builds them again.
pg_dump --format=custom --schema=akin --no-owner --no-unlogged-table-data --file="$name.partial" --dbname="$url"
pg_restore --list "$name.partial" >/dev/null
mv "$name.partial" "$name"
ls -1 akin-*.dump | sort -r | tail -n "+$((RETAINED_BACKUPS + 1))" | xargs -r rm -f --
echo "$name: $(wc -c <"$name") bytes"
