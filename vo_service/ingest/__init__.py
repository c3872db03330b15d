"""From files to a published table: read, describe, load."""
