"""MOCs as files (MOC 2.0, section 4.3): FITS, JSON and ASCII, of space, time, and both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from vo_service import __version__
from vo_service.coverage.cells import SPACE_BITS, TIME_BITS, Cells, cells_by_order
from vo_service.coverage.model import TIME_ORDER, SpaceTimeMoc, TimeMoc
from vo_service.later import later
from vo_service.sky.healpix import ORDER
from vo_service.sky.moc import Moc

if TYPE_CHECKING:
    from astropy.io import fits
else:
    fits = later("astropy.io.fits")

AnyMoc = Moc | TimeMoc | SpaceTimeMoc

Cards = dict[str, str | int]
Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]

_FLAG: Final = -(2**63)
"""The sign bit, set in numbers of cells of time where cells of space follow (section 4.3.1.2)."""


def moc_fits(moc: AnyMoc) -> bytes:
    """The file, an empty primary HDU before the table.

    MOCs of space list their cells in NUNIQ, which readers of MOC 1.1 know too; the others list ranges, which is all
    that the standard has for them.
    """
    cards: Cards
    match moc:
        case Moc():
            numbers, cards = _nuniq(moc), {"MOCDIM": "SPACE", "ORDERING": "NUNIQ", "MOCORD_S": moc.order}
            # What MOC 1.1 asks for.
            cards |= {"PIXTYPE": "HEALPIX", "MOCORDER": moc.order, "COORDSYS": "C"}
        case TimeMoc():
            numbers, cards = _flat(moc.ranges), {"MOCDIM": "TIME", "ORDERING": "RANGE", "MOCORD_T": moc.order}
            cards |= {"TIMESYS": "TCB"}
        case SpaceTimeMoc():
            numbers = np.concatenate([np.empty(0, np.int64), *_interleaved(moc)])
            cards = {"MOCDIM": "TIME.SPACE", "ORDERING": "RANGE", "MOCORD_T": moc.time_order}
            cards |= {"MOCORD_S": moc.space_order, "TIMESYS": "TCB", "COORDSYS": "C"}
    return _table(numbers, {"MOCVERS": "2.0", **cards, "MOCTOOL": f"vo-service {__version__}"})


def _table(numbers: Numbers, cards: Cards) -> bytes:
    primary, header = fits.Header(), fits.Header()
    primary.update({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True})
    header.update({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": len(numbers), "PCOUNT": 0})
    header.update({"GCOUNT": 1, "TFIELDS": 1, "TFORM1": "1K", "TTYPE1": _column_name(cards), **cards})
    data = numbers.astype(">i8").tobytes()
    text: str = primary.tostring() + header.tostring()
    return text.encode("ascii") + data + bytes(-len(data) % 2880)


def _column_name(cards: Cards) -> str:
    return "UNIQ" if cards["ORDERING"] == "NUNIQ" else "RANGE"


def _nuniq(moc: Moc) -> Numbers:
    """Each cell with its order in one number."""
    cells = _space_cells(moc.ranges, moc.order)
    numbers = [4 * 4**order + cell for order, of_order in cells.items() for cell in of_order]
    return np.array(numbers, np.int64)


def _flat(ranges: Iterable[tuple[int, int]]) -> Numbers:
    return np.array([edge for pair in ranges for edge in pair], np.int64)


def _interleaved(moc: SpaceTimeMoc) -> Iterator[Numbers]:
    for part in moc.slices:
        yield _flat(part.time) | np.int64(_FLAG)
        yield _flat(part.space)


def moc_json(moc: AnyMoc) -> str:
    """Cells by order; of a space-time MOC a list of such, of time and of space."""
    match moc:
        case Moc():
            document: object = _named(_space_cells(moc.ranges, moc.order))
        case TimeMoc():
            document = _named(_time_cells(moc.ranges, moc.order))
        case SpaceTimeMoc():
            document = [{"t": _named(times), "s": _named(cells)} for times, cells in _pairs(moc)]
    return json.dumps(document, separators=(",", ":"))


def _named(cells: Cells) -> dict[str, list[int]]:
    return {str(order): numbers for order, numbers in cells.items()}


def moc_ascii(moc: AnyMoc) -> str:
    """In one line: `4/1 3-5 5/96`, with t and s before the orders of a space-time MOC."""
    match moc:
        case Moc():
            return _written(_space_cells(moc.ranges, moc.order))
        case TimeMoc():
            return _written(_time_cells(moc.ranges, moc.order))
        case SpaceTimeMoc():
            return " ".join(f"t{_written(times)} s{_written(cells)}" for times, cells in _pairs(moc))


def _written(cells: Cells) -> str:
    return " ".join(f"{order}/{' '.join(_runs(numbers))}" for order, numbers in cells.items())


def _runs(numbers: list[int]) -> Iterator[str]:
    """Numbers, and runs of three or more as first-last."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            run = numbers[start:end]
            yield from (f"{run[0]}-{run[-1]}",) if len(run) > 1 else map(str, run)
            start = end


def _pairs(moc: SpaceTimeMoc) -> Iterator[tuple[Cells, Cells]]:
    for part in moc.slices:
        yield _time_cells(part.time, moc.time_order), _space_cells(part.space, moc.space_order)
    if not moc.slices:
        yield {moc.time_order: []}, {moc.space_order: []}


def _space_cells(ranges: Iterable[tuple[int, int]], order: int) -> Cells:
    return cells_by_order(ranges, ORDER, SPACE_BITS, order)


def _time_cells(ranges: Iterable[tuple[int, int]], order: int) -> Cells:
    return cells_by_order(ranges, TIME_ORDER, TIME_BITS, order)
