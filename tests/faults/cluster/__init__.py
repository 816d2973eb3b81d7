"""The campaign of a cluster: three replicas over a PostgreSQL primary with two standbys."""
