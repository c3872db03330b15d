"""Units: are they VOUnits, and how do two of them relate?

Astropy knows the units of VOUnits 1.1. What it lacks of the standard is added here: the functions `log`, `ln`, `exp`
and the percent sign; and what it reads beyond the standard's grammar is refused: blanks, powers without `**`, and a
numerator of 1.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from vo_service.later import later

if TYPE_CHECKING:
    from astropy import units
else:
    units = later("astropy.units")


_FUNCTION = re.compile(r"(log|ln|exp)\((.*)\)")
_DECADIC = re.compile(r"log10\((.*)\)")
_FOREIGN = re.compile(r"[A-Za-z)]-?\d|\s|\^|^1/")
_OTHER_SYNTAXES = ("vounit", "ogip", "cds", "fits", "generic")


def check_unit(text: str) -> str:
    """The unit, if it is one of VOUnits 1.1; "" is the unit of a quantity without dimension.

    Raises ValueError that names it and, where it can be guessed, how VOUnits writes it.
    """
    if _is_unit(text):
        return text
    suggestion = read_unit(text)
    hint = f"; did you mean {suggestion!r}?" if suggestion else ""
    raise ValueError(f"{text!r} is no unit in VOUnits syntax{hint}")


def unit_warning(text: str) -> str | None:
    """Why a valid unit had better not be used (VOUnits deprecates some), or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", units.UnitsWarning)
        if not _FUNCTION.fullmatch(text) and text != "%":
            units.Unit(text, format="vounit")
    return str(caught[0].message) if caught else None


def conversion_factor(source: str, target: str) -> float:
    """What values in the unit `source` are multiplied by to be in `target`; both have been checked.

    Raises ValueError if the two do not measure the same.
    """
    if source == target:
        return 1.0
    from_unit, to_unit = _parse(source, "vounit"), _parse(target, "vounit")
    if from_unit is None or to_unit is None:
        raise ValueError(f"values in {source!r} cannot be converted to {target!r} by a factor")
    try:
        return float(from_unit.to(to_unit))
    except units.UnitConversionError:
        raise ValueError(f"{source!r} and {target!r} are units of different quantities") from None


def read_unit(text: str) -> str | None:
    """How VOUnits writes a unit that a file states in any usual syntax; None if it cannot be understood."""
    text = text.strip()
    if _is_unit(text):
        return text
    if decadic := _DECADIC.fullmatch(text):
        inner = read_unit(decadic[1])
        return f"log({inner})" if inner else None
    spellings = (text, text.removesuffix("s"))
    return next((unit for name in spellings for syntax in _OTHER_SYNTAXES if (unit := _rewrite(name, syntax))), None)


def _is_unit(text: str) -> bool:
    function = _FUNCTION.fullmatch(text)
    if function:
        return _is_unit(function[2])
    if text == "%":
        return True
    return not _FOREIGN.search(text) and _parse(text, "vounit") is not None


def _rewrite(text: str, syntax: str) -> str | None:
    unit = _parse(text, syntax)
    if unit is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            written: str = unit.to_string("vounit")
        except (ValueError, TypeError):
            return None
    return written if _is_unit(written) else None


def _parse(text: str, syntax: str) -> units.UnitBase | None:
    """The unit, or None if the text is none in this syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)  # deprecated units are units; `unit_warning` tells of them
        try:
            return units.Unit(text, format=syntax)
        except (ValueError, TypeError):
            return None
