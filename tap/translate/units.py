"""Values in another unit (ADQL 2.1, section 4.9): the factor is known before the query runs."""

from __future__ import annotations

from dataclasses import replace

from tap.functions.declaration import ADQL_TYPES, derived_ucd
from tap.translate.bound import Constant, Expression, Operation
from tap.translate.refusal import RefusedError
from tap.translate.types import as_number
from vo_service.catalog.vocabulary.unit import check_unit, conversion_factor


def in_unit(operand: Expression, at: int, unit: str, unit_at: int) -> Expression:
    """`IN_UNIT(operand, 'unit')`: a double, or the operand itself where it is in the unit already.

    RefusedError if the unit is none of VOUnits 1.1, if that of the operand is not known, or if they measure different
    quantities.
    """
    operand = as_number(operand, "IN_UNIT", at)
    try:
        check_unit(unit)
        factor = conversion_factor(check_unit(_unit_of(operand, at)), unit)
    except ValueError as error:
        raise RefusedError(f"IN_UNIT cannot convert this: {error}", unit_at) from None
    column = operand.column
    if factor == 1:
        return replace(operand, column=replace(column, unit=unit))
    double = ADQL_TYPES["DOUBLE PRECISION"]
    converted = replace(double, unit=unit, ucd=derived_ucd(column), description=column.description)
    return Operation(operand, (("*", Constant(factor, double)),), converted)


def _unit_of(operand: Expression, at: int) -> str:
    if operand.column.unit is None:
        name = operand.column.name
        raise RefusedError(
            f"The unit of {name or 'this value'} is not known, so that IN_UNIT cannot convert it",
            at,
            "Columns have the units that TAP_SCHEMA.columns says; products and functions of them have none here",
        )
    return operand.column.unit
