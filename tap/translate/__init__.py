"""ADQL tree to PostgreSQL, one pass per file: resolve, geometry, limits, emit (`pipeline` lists them)."""

from tap.translate.pipeline import translate

__all__ = ["translate"]
