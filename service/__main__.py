"""`python -m service` is the `akin` command."""

from service.cli.entry import main

if __name__ == "__main__":  # processes that are started from this one import it
    main()
