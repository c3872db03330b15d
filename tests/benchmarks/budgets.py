"""The budgets: what each figure must reach, by its name and the rows of the table.

They are ten times what the service in widest use reaches on a machine of two cores, or close to what PostgreSQL gives.
"""

from __future__ import annotations

from typing import Final

MILLION: Final = 1_000_000

BUDGETS: Final[dict[tuple[str, int], float]] = {
    # Cone search: answers a second to eight clients, and milliseconds to one that connects anew each time.
    ("0.1 deg, 8 clients", MILLION): 1_250,
    ("1 deg, 8 clients", MILLION): 1_090,
    ("5 deg, 8 clients", MILLION): 450,
    ("20 deg, 8 clients", MILLION): 60,
    ("0.1 deg, new connections, p50", MILLION): 2,
    ("1 deg, new connections, p50", MILLION): 2.5,
    ("5 deg, new connections, p50", MILLION): 8,
    ("20 deg, new connections, p50", MILLION): 60,
    # Whole tables, rows a second.
    ("votable binary2", MILLION): 2_000_000,
    ("votable tabledata", MILLION): 1_000_000,
    ("csv", MILLION): 1_500_000,
    ("fits", MILLION): 2_000_000,
    # Small queries.
    ("TOP 1", MILLION): 3,
    ("50 clients, TOP 1", MILLION): 1_000,
    ("50 clients, 1 deg by TAP", MILLION): 500,
    ("job, POST to COMPLETED", MILLION): 0.15,
    # Cross-matches with uploads and aggregates, seconds.
    ("10,000 uploaded rows", MILLION): 0.2,
    ("100,000 uploaded rows", 10 * MILLION): 2,
    ("GROUP BY HEALPix", MILLION): 0.1,
    # Loads, rows a second.
    ("parquet file", 10 * MILLION): 500_000,
    ("fits file", 10 * MILLION): 500_000,
}
"""Those that hold for one size of the table."""

EVERY_SIZE: Final[dict[str, float]] = {
    "votable binary2, first byte": 50,
    "votable tabledata, first byte": 50,
    "csv, first byte": 50,
    "fits, first byte": 50,
    ", memory": 300,
    "p99 of p50": 3,
    "20 slow joins, cone p99": 50,
    "20 slow joins, availability p99": 10,
    "slow reader, cone p99": 50,
}
"""Those that hold for all, by the end of the figure's name, in its unit."""


def budget_of(name: str, rows: int) -> float | None:
    """The budget of a figure, if it has one."""
    if (name, rows) in BUDGETS:
        return BUDGETS[name, rows]
    return next((budget for ending, budget in EVERY_SIZE.items() if name.endswith(ending)), None)
