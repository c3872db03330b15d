"""A harvester of OAI-PMH 2.0."""

from __future__ import annotations

from typing import Final

from lxml import etree

from vo_service.validation.client import ask, with_parameters
from vo_service.validation.documents import NS, Element, read_xml, text_of
from vo_service.validation.findings import BrokenError

MOST_PAGES: Final = 100_000
"""After which a list is taken to have no end."""


class Harvester:
    """Asks a publishing registry."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, arguments: dict[str, str], *, post: bool = False) -> Element:
        """The answer to a request, which may be an error of OAI-PMH.

        Raises BrokenError if it is no answer of OAI-PMH with status 200.
        """
        answer = ask(self.address, form=arguments) if post else ask(self.address, arguments)
        url = with_parameters(self.address, arguments)
        if answer.status != 200:
            raise BrokenError(url, f"expected status 200, found {answer.status}")
        root = read_xml(url, answer.body)
        if root.tag != f"{{{NS['oai']}}}OAI-PMH":
            raise BrokenError(url, f"expected an answer of OAI-PMH, found {root.tag}")
        return root

    def one(self, **arguments: str) -> Element:
        """The element that answers a request. Raises BrokenError, also if the answer is an error."""
        root = self.ask(arguments)
        found = root.find(f"oai:{arguments['verb']}", NS)
        if found is None:
            told = code_of(root) or "an empty document"
            raise BrokenError(with_parameters(self.address, arguments), f"expected {arguments['verb']}, found {told}")
        return found

    def pages(self, verb: str, **arguments: str) -> list[Element]:
        """All parts of a list. Raises BrokenError."""
        pages = [self.one(verb=verb, **arguments)]
        seen = set[str]()
        while token := text_of(pages[-1], "oai:resumptionToken"):
            if token in seen or len(seen) > MOST_PAGES:
                raise BrokenError(self.address, f"expected {verb} to end, found the resumptionToken {token} again")
            seen.add(token)
            pages.append(self.one(verb=verb, resumptionToken=token))
        return pages

    def items(self, verb: str, **arguments: str) -> list[Element]:
        """The records or headers of all parts of a list. Raises BrokenError."""
        kind = "oai:record" if verb == "ListRecords" else "oai:header"
        return [item for page in self.pages(verb, **arguments) for item in page.iterfind(kind, NS)]


def code_of(root: Element) -> str | None:
    """The code of the error that an answer tells."""
    error = root.find("oai:error", NS)
    return None if error is None else error.get("code")


def canonical(element: Element | None) -> bytes:
    """The same bytes for what is the same in XML; empty if there is nothing."""
    return b"" if element is None else etree.tostring(element, method="c14n", exclusive=True)
