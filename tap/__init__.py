"""Table Access Protocol (TAP 1.1) with ADQL 2.1."""
