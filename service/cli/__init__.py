"""The command line; it talks to a server only through the Python client."""
