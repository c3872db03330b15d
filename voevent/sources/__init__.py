"""Streams of others: one file for each kind, which turns its messages into packets and remembers how far it has read."""
