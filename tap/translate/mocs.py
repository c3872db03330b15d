"""MOCs that are constant are computed when the query is translated, so that conditions on them can use the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tap.functions.declaration import ADQL_TYPES
from tap.functions.moc import MOC_INTERSECTION, MOC_OF_REGION, MOC_OF_TEXT, MOC_UNION
from tap.translate.bound import Call, Constant, Expression, Moc
from tap.translate.constants import value_of
from tap.translate.refusal import RefusedError
from tap.translate.shapes import as_geometry, shape_of
from tap.translate.types import kind_of
from vo_service.sky import moc as sky
from vo_service.sky.cover import intersection, merge

_MOC: Final = ADQL_TYPES["MOC"]


def computed(call: Call, places: Sequence[int]) -> Expression:
    """The call, or its value if it is a constant MOC. Raises RefusedError where that cannot be made."""
    try:
        if call.function == MOC_OF_TEXT:
            return _of_text(call)
        if call.function == MOC_OF_REGION:
            return _of_region(call, places)
    except sky.MocError as error:
        raise RefusedError(f"This is no MOC: {error}", places[-1]) from None
    return _combined(call)


def _of_text(call: Call) -> Expression:
    (text,) = call.arguments
    if isinstance(text, Constant) and isinstance(text.value, str):
        return Moc(sky.parse_moc(text.value), _MOC)
    return call


def _of_region(call: Call, places: Sequence[int]) -> Expression:
    order, region = value_of(call.arguments[0]), as_geometry(call.arguments[1], "MOC", places[1])
    shape = shape_of(region)
    if shape is not None and order is not None:
        return Moc(sky.moc_of_shape(shape, int(order)), _MOC)
    if kind_of(region) != "point":
        raise RefusedError("MOC takes a region that is constant, or a point", places[1])
    return call


def _combined(call: Call) -> Expression:
    if call.function not in (MOC_UNION, MOC_INTERSECTION):
        return call
    first, second = call.arguments
    if not (isinstance(first, Moc) and isinstance(second, Moc)):
        return call
    a, b = first.value, second.value
    is_union = call.function == MOC_UNION
    ranges = merge(np.concatenate([a.array, b.array])) if is_union else intersection(a.array, b.array)
    return Moc(sky.moc_of_ranges(ranges, max(a.order, b.order)), _MOC)
