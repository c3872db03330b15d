"""A link on a page: what a protocol offers for a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """An address relative to the service's root, and what a person reads about it.

    Attributes
    ----------
    title
        The text of the link.
    href
        Relative to the root of the service, without a leading slash; answers in a browser.
    text
        What is behind it: a query, a cone, ...; shown beside the link.
    kind
        "example" for something that answers at once, "endpoint" for an address to give to a client.
    """

    title: str
    href: str
    text: str = ""
    kind: str = "example"
