"""Along which axes the rows of a table extend: their position, time and energy, as far as its columns tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vo_service.catalog.model import Column, Position, Table
from vo_service.catalog.vocabulary.unit import conversion_factor
from vo_service.formats.systems import time_system

PLANCK_TIMES_LIGHT = 1.2398419843320026e-06
"""h c [eV m] (2019 SI, exact): the wavelength [m] of a photon is this by its energy [eV]."""

MJD_RANGE = (-678_575.0, 2_973_483.0)
"""Modified Julian Dates of the years 1 to 9999. Numbers beyond stand for missing times, or count something else."""

_ENERGY = ("phys.energy", "em.energy")
_NUMBERS = ("float", "double", "int", "long", "short")


@dataclass(frozen=True, slots=True)
class EnergyAxis:
    """A column of energies; `ev` is its unit in eV."""

    column: Column
    ev: float


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """A column of times: Modified Julian Dates, or timestamps."""

    column: Column
    is_mjd: bool
    scale: str


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a table; None for those that it has not."""

    position: Position | None
    time: TimeAxis | None
    energy: EnergyAxis | None

    def __bool__(self) -> bool:
        return any((self.position, self.time, self.energy))

    @property
    def names(self) -> tuple[object, ...]:
        """Which columns they are, and what their numbers count: where these are equal, so are the axes."""
        time = self.time and (self.time.column.name, self.time.is_mjd, self.time.scale)
        return self.position, time, self.energy and (self.energy.column.name, self.energy.ev)


def axes_of(table: Table) -> Axes:
    """The axes of a published table."""
    return Axes(table.position, _time(table), _energy(table))


def _time(table: Table) -> TimeAxis | None:
    if table.epoch_column is None:
        return None
    column = table.column(table.epoch_column)
    system = time_system(column)
    return TimeAxis(column, system.is_mjd, system.scale) if system is not None else None


def _energy(table: Table) -> EnergyAxis | None:
    """The first column that says it is an energy, in a unit of energy; principal ones come before others."""
    for column in sorted(table.columns, key=lambda column: not column.principal):
        if (column.ucd or "").lower().split(";")[0] not in _ENERGY or not column.unit:
            continue
        if column.datatype not in _NUMBERS or column.arraysize is not None:
            continue
        try:
            # To 15 digits: 1 GeV is to be 1e9 eV, not 999999999.9999999.
            return EnergyAxis(column, float(f"{conversion_factor(column.unit, 'eV'):.15g}"))
        except ValueError:
            # Logarithms, and energies per something.
            continue
    return None


def energy_of(wavelength: float) -> float:
    """Energy [eV] of a photon of a wavelength [m]; that of no wavelength is above all."""
    return PLANCK_TIMES_LIGHT / wavelength if wavelength > 0 else math.inf
