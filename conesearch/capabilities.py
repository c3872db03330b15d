"""What a cone search service says of itself (SimpleDALRegExt 1.2, section 4.1, and VOSI 1.1)."""

from __future__ import annotations

from vo_service.catalog.model import Table
from vo_service.config import Settings
from vo_service.vosi.capabilities import Capability, ConeSearchCapability, vosi_capabilities

TEST_RADIUS = 0.1
"""Radius [deg] of the test query, which is around a row of the table."""


def cone_capabilities(
    address: str, table: Table, settings: Settings, sample: tuple[float, float]
) -> tuple[Capability, ...]:
    """The capabilities of the service at `address`; `sample` is the position [deg] of some row."""
    raise NotImplementedError
