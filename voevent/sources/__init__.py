"""Streams of others, one file for each kind: how it is reached, what its messages are, and how far it has been read."""
