"""ADQL tree to PostgreSQL, one pass per file."""
