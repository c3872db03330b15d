"""Sinks: where stored alerts go, each in the order of storage and from where it was."""
