"""The web console: its files, and the headers that browsers obey."""
