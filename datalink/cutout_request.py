"""The parameters of a cut-out, as one value, in the words of SODA 1.0 (section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vo_service.catalog.model import Table
from vo_service.config import Settings
from vo_service.coverage.axes import Axes, axes_of, energy_of
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.formats.registry import FormatChoice, find_format
from vo_service.sky.shapes import Circle, Shape, ShapeError, polygon

Interval = tuple[float, float]
"""Lowest and highest value, both included; infinite where there is no limit."""


@dataclass(frozen=True, slots=True)
class CutoutRequest:
    """What a client asks for.

    Attributes
    ----------
    shape
        Region [deg, ICRS] of the positions.
    time
        Modified Julian Dates, UTC (SODA 1.0, section 3.3.5).
    energy
        In the unit of the table's energies.
    """

    shape: Shape | None
    time: Interval | None
    energy: Interval | None
    maxrec: int
    format: FormatChoice


def read_cutout(parameters: Parameters, table: Table, settings: Settings) -> CutoutRequest:
    """The request that the parameters make. Raises UsageError that names the parameter at fault."""
    axes = axes_of(table)
    _expect_axes(parameters, table, axes)
    return CutoutRequest(
        shape=_shape(parameters),
        time=_interval(parameters, "TIME"),
        energy=_energy(parameters, axes),
        maxrec=min(parameters.integer("MAXREC", low=0, default=settings.maxrec_default), settings.maxrec_limit),
        format=find_format(parameters.one("RESPONSEFORMAT")),
    )


def _expect_axes(parameters: Parameters, table: Table, axes: Axes) -> None:
    """Raises UsageError for parameters of axes that the table has not: it would not be cut, and nobody would know."""
    missing = [
        name
        for name, axis in (
            ("CIRCLE", axes.position), ("POLYGON", axes.position), ("TIME", axes.time),
            ("ENERGY", axes.energy), ("BAND", axes.energy), ("POS", None), ("POL", None),
        )
        if parameters.all(name) and axis is None
    ]  # fmt: skip
    if missing:
        raise UsageError(f"{', '.join(missing)}: {table.schema}.{table.name} cannot be cut by this")


def _shape(parameters: Parameters) -> Shape | None:
    circle, vertices = _numbers(parameters, "CIRCLE"), _numbers(parameters, "POLYGON")
    if circle is not None and vertices is not None:
        raise UsageError("CIRCLE and POLYGON exclude each other")
    if circle is not None:
        if len(circle) != 3 or not (-90 <= circle[1] <= 90 and 0 <= circle[2] <= 180):
            raise UsageError("CIRCLE: expected right ascension, declination and radius in degrees (ICRS)")
        return Circle(circle[0] % 360.0, circle[1], circle[2])
    if vertices is None:
        return None
    if len(vertices) < 6 or len(vertices) % 2 or not all(-90 <= dec <= 90 for dec in vertices[1::2]):
        raise UsageError(
            "POLYGON: expected right ascension and declination in degrees (ICRS) of three or more vertices"
        )
    try:
        return polygon(vertices)
    except ShapeError as error:
        raise UsageError(f"POLYGON: {error}") from None


def _numbers(parameters: Parameters, name: str, *, infinite: bool = False) -> list[float] | None:
    """The numbers of a parameter, separated by spaces; None if it is absent or blank. Raises UsageError."""
    text = parameters.one(name)
    if text is None or not text.strip():
        return None
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = [math.nan]
    if any(math.isnan(number) or (math.isinf(number) and not infinite) for number in numbers):
        raise UsageError(f"{name}={text[:60]}: expected numbers, separated by spaces")
    return numbers


def _interval(parameters: Parameters, name: str) -> Interval | None:
    """The interval of a parameter; a single number is an interval of no length (SODA 1.0, section 3.3)."""
    numbers = _numbers(parameters, name, infinite=True)
    if numbers is None:
        return None
    low, high = numbers if len(numbers) == 2 else (*numbers, *numbers) if len(numbers) == 1 else (1.0, 0.0)
    if low > high:
        raise UsageError(f"{name}: expected the lowest and the highest value; -Inf and +Inf leave a side open")
    return low, high


def _energy(parameters: Parameters, axes: Axes) -> Interval | None:
    """What ENERGY, or BAND (the wavelength of photons [m]) asks for, in the unit of the table's energies."""
    energy, band = _interval(parameters, "ENERGY"), _interval(parameters, "BAND")
    if energy is not None and band is not None:
        raise UsageError("ENERGY and BAND exclude each other")
    if band is None or axes.energy is None:
        return energy
    return energy_of(band[1]) / axes.energy.ev, energy_of(band[0]) / axes.energy.ev
