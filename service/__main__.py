"""`python -m service` is the `akin` command."""

from service.cli.main import app

if __name__ == "__main__":  # processes that are started from this one import it
    app()
