"""Simple Cone Search (SCS 1.03)."""
