"""VOSI 1.1: capabilities, availability and tables, written from live objects."""
