"""`python -m service` is the `akin` command."""

from service.cli.main import app

app()
