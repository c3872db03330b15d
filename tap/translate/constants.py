"""The values of expressions that are known without the database: of numbers, and of arithmetic on them."""

from __future__ import annotations

from tap.translate.bound import Constant, Expression, Negation, Operation


def value_of(expression: Expression) -> float | None:
    """The value of a constant numeric expression, as PostgreSQL would compute it; None if it is not constant."""
    match expression:
        case Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case Negation():
            operand = value_of(expression.operand)
            return None if operand is None else -operand
        case Operation():
            return _chain(expression)
        case _:
            return None


def _chain(operation: Operation) -> float | None:
    result = value_of(operation.first)
    for operator, operand in operation.steps:
        right = value_of(operand)
        if result is None or right is None:
            return None
        result = _step(operator, result, right)
        if result is None or abs(result) > 1e300:
            return None
    return result


def _step(operator: str, left: float, right: float) -> float | None:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if right == 0:
        return None
    if isinstance(left, int) and isinstance(right, int):
        # PostgreSQL divides integers towards zero.
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right
