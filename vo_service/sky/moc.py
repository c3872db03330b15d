"""Multi-order coverage maps (MOC 2.0) of space: sets of HEALPix cells, as ranges of order 29 and in ASCII form."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vo_service.sky.cover import Ranges, TooManyCellsError, merge, shape_cover
from vo_service.sky.healpix import ORDER
from vo_service.sky.shapes import Shape

_ORDER = re.compile(r"\s*(\d{1,2})\s*/")
_CELLS = re.compile(r"[\s,]*(\d{1,19})(?:\s*-\s*(\d{1,19}))?(?!\s*/)(?=[\s,]|$)")

CELLS_LIMIT = 1_000_000
"""Cells and ranges that the text of a MOC may have, which bounds the time to read it to about a second."""


class MocError(ValueError):
    """This is no MOC; the message says where."""


@dataclass(frozen=True)
class Moc:
    """A set of cells.

    Attributes
    ----------
    ranges
        Half-open ranges of cells of order 29, sorted, apart from each other.
    order
        The deepest order that was named, 0 to 29: the resolution of the map.
    """

    ranges: tuple[tuple[int, int], ...]
    order: int

    @property
    def array(self) -> Ranges:
        """The ranges, shape (n, 2)."""
        return np.array(self.ranges, np.int64).reshape(-1, 2)


def parse_moc(text: str) -> Moc:
    """The MOC of an ASCII form (MOC 2.0, section 4.3.2): `4/1 3-5 5/96`; an `s` before it is allowed.

    Raises MocError.
    """
    text = text.strip().removeprefix("s")
    ranges: list[tuple[int, int]] = []
    deepest, order, at = 0, -1, 0
    while at < len(text):
        if found := _ORDER.match(text, at):
            order = int(found[1])
            if order > ORDER:
                raise MocError(f"order {order} is beyond {ORDER}")
            deepest = max(deepest, order)
        elif order >= 0 and (found := _CELLS.match(text, at)):
            ranges.append(_range(order, int(found[1]), int(found[2] or found[1])))
            if len(ranges) > CELLS_LIMIT:
                raise MocError(f"it has more than {CELLS_LIMIT:,} cells and ranges")
        elif text[at:].strip(" \t\r\n,"):
            raise MocError(f"cannot read it from {text[at : at + 20]!r} on; it is written like 4/1 3-5 5/96")
        else:
            break
        at = found.end()
    if order < 0:
        raise MocError("it is empty; the empty MOC is written 0/")
    return moc_of_ranges(merge(np.array(ranges, np.int64).reshape(-1, 2)), deepest)


def _range(order: int, first: int, last: int) -> tuple[int, int]:
    if not first <= last < 12 * 4**order:
        raise MocError(f"cells {first}-{last} do not exist at order {order}, which has {12 * 4**order}")
    shift = 2 * (ORDER - order)
    return first << shift, (last + 1) << shift


def moc_text(moc: Moc) -> str:
    """The ASCII form, every cell at the coarsest order that holds it."""
    cells: dict[int, list[int]] = {}
    for first, last in moc.ranges:
        cell = first
        while cell < last:
            shift = _largest_cell(cell, last)
            cells.setdefault(ORDER - shift // 2, []).append(cell >> shift)
            cell += 1 << shift
    if moc.order not in cells:
        cells[moc.order] = []
    return " ".join(f"{order}/{' '.join(map(str, numbers))}" for order, numbers in sorted(cells.items()))


def _largest_cell(first: int, last: int) -> int:
    """Bits of the largest cell that begins at `first` and ends by `last`."""
    aligned = (first & -first).bit_length() - 1 if first else 2 * ORDER
    return min(aligned, 2 * ORDER, (last - first).bit_length() - 1) // 2 * 2


def moc_of_shape(shape: Shape, order: int) -> Moc:
    """The cells of an order that a shape touches. Raises MocError if they would be too many."""
    try:
        cover = shape_cover(shape, order)
    except TooManyCellsError as error:
        raise MocError(f"{error}; take a lower order than {order}") from None
    return moc_of_ranges(cover.all_ranges(), order)


def moc_of_ranges(ranges: Ranges, order: int) -> Moc:
    """The MOC of these ranges, which are sorted and apart from each other."""
    return Moc(tuple((first, last) for first, last in ranges.tolist()), order)
