"""The command line. Commands call a server only through the Python client."""
