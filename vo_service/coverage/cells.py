"""Ranges of cells as cells of all orders: the largest that fit, as every written form but that of ranges has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SPACE_BITS: Final = 2
TIME_BITS: Final = 1
"""By how many bits the number of a cell grows from one order to the next."""

Cells = dict[int, list[int]]
"""By order, the numbers of cells in their order."""


def cells_by_order(ranges: Iterable[tuple[int, int]], deepest: int, bits: int, least: int) -> Cells:
    """Cells that hold the same as the ranges, each of the lowest order possible.

    Parameters
    ----------
    ranges
        Half-open, of cells of the order `deepest`; sorted.
    bits
        SPACE_BITS or TIME_BITS.
    least
        An order that is always there, if need be without cells: the resolution of the MOC.
    """
    found: Cells = {}
    for first, last in ranges:
        cell = first
        while cell < last:
            shift = _largest(cell, last, deepest, bits)
            found.setdefault(deepest - shift // bits, []).append(cell >> shift)
            cell += 1 << shift
    found.setdefault(least, [])
    return dict(sorted(found.items()))


def _largest(first: int, last: int, deepest: int, bits: int) -> int:
    """How many bits the cells have within the largest cell that begins at `first` and ends by `last`."""
    aligned = (first & -first).bit_length() - 1 if first else bits * deepest
    return min(aligned, bits * deepest, (last - first).bit_length() - 1) // bits * bits
