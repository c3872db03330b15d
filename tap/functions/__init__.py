"""One declaration per ADQL function."""
