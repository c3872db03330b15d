"""The capabilities document (VOSI 1.1, section 2): what a service can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vo_service.vosi.documents import Element, add, root, serialise

VOTABLE = "application/x-votable+xml"


class Capability(Protocol):
    """A capability that can write itself."""

    def add_to(self, document: Element) -> None:
        """Append the `capability` element."""
        ...


def capabilities_document(capabilities: Sequence[Capability]) -> bytes:
    """The document of a service's capabilities."""
    document = root("cap", "capabilities", "vr", "vs", "tr", "cs", "vg", "xsi")
    for capability in capabilities:
        capability.add_to(document)
    return serialise(document)


@dataclass(frozen=True, slots=True)
class SimpleCapability:
    """A capability with one address and nothing else to say."""

    standard_id: str
    url: str
    version: str | None = None

    def add_to(self, document: Element) -> None:
        capability = add(document, "capability", standardID=self.standard_id)
        add_interface(capability, self.url, version=self.version)


def vosi_capabilities(address: str) -> tuple[SimpleCapability, ...]:
    """Those that every service has, below its address."""
    return (
        SimpleCapability("ivo://ivoa.net/std/VOSI#capabilities", f"{address}/capabilities"),
        SimpleCapability("ivo://ivoa.net/std/VOSI#availability", f"{address}/availability"),
        SimpleCapability("ivo://ivoa.net/std/VOSI#tables-1.1", f"{address}/tables", version="1.1"),
    )


def add_interface(capability: Element, url: str, *, use: str = "full", version: str | None = None) -> Element:
    """Append a standard interface over HTTP. It has no securityMethod: access is anonymous."""
    interface = add(capability, "interface", type_="vs:ParamHTTP", role="std", version=version)
    add(interface, "accessURL", url, use=use)
    return interface
