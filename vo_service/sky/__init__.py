"""Pure geometry on the sphere: angles, HEALPix, covers, and their predicates in SQL."""
