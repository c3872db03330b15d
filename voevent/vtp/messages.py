"""Transport messages: iamalive, authenticate, ack, nak. Read in every namespace that is in use, written as v1.1. Pure.

Source: VOEvent Transport Protocol 2.0 and the schema Transport v1.1: Origin, Response, TimeStamp, Meta (Param, Result)
stand in this order. Peers differ in the namespace, so elements are found by their local names; v1.1 at
www.telescope-networks.org is what all of them understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeGuard, get_args
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from voevent.elements import child, content, local_name, text

Role = Literal["iamalive", "authenticate", "ack", "nak"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

NAMESPACE: Final = "http://www.telescope-networks.org/xml/Transport/v1.1"

LIMIT: Final = 65_536
"""Bytes of a Transport message at most; events are longer."""

# Start tags that need no parser: a hundred subscribers acknowledge ten thousand times a second.
_PROLOGUE: Final = rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^<>]*\?>\s*)?"
_ROLE: Final = re.compile(_PROLOGUE + rb"<(?:[\w.-]+:)?Transport\s[^<>]*\brole\s*=\s*[\"'](\w+)[\"'][^<>]*>")
_BY_NAME: Final[dict[bytes, Role]] = {role.encode(): role for role in ROLES}
_VOEVENT: Final = re.compile(_PROLOGUE + rb"<(?:[\w.-]+:)?VOEvent[\s>]")

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Message:
    """A Transport message.

    Attributes
    ----------
    origin
        Whose message, or which event, this is about: an IVOID.
    response
        IVOID of the one who answers.
    params
        Names and values of Meta/Param; those of authenticate are filters and other wishes of the subscriber.
    result
        The reason of a nak.
    """

    role: Role
    origin: str
    response: str | None = None
    params: tuple[tuple[str, str], ...] = ()
    result: str | None = None

    def encode(self) -> bytes:
        """The message as XML, stamped with the present time."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<trn:Transport xmlns:trn="{NAMESPACE}" version="1.0" role="{self.role}">'
            f"<Origin>{_text(self.origin)}</Origin>"
            + (f"<Response>{_text(self.response)}</Response>" if self.response else "")
            + f"<TimeStamp>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</TimeStamp>"
            + self._meta()
            + "</trn:Transport>"
        ).encode()

    def _meta(self) -> str:
        if not self.params and self.result is None:
            return ""
        params = "".join(
            f"<Param name={quoteattr(_legal(name))} value={quoteattr(_legal(value))}/>" for name, value in self.params
        )
        result = "" if self.result is None else f"<Result>{_text(self.result)}</Result>"
        return f"<Meta>{params}{result}</Meta>"


def role_of(raw: bytes) -> Role | None:
    """The role of a Transport message; None if it is anything else, a VOEvent above all."""
    if match := _ROLE.match(raw):
        return _BY_NAME.get(match[1])
    if _VOEVENT.match(raw) or len(raw) > LIMIT:
        return None
    message = read_message(raw)
    return None if message is None else message.role


def read_message(raw: bytes) -> Message | None:
    """A Transport message; None if it is none, or has no known role."""
    root = _root(raw)
    if root is None or local_name(root) != "Transport":
        return None
    role = root.get("role", "").strip()
    if not _is_role(role):
        return None
    meta = child(root, "Meta")
    return Message(
        role=role,
        origin=text(root, "Origin") or "",
        response=text(root, "Response"),
        params=() if meta is None else tuple(_params(meta)),
        result=text(meta, "Result"),
    )


def _params(meta: etree._Element) -> Iterable[tuple[str, str]]:
    for element in meta:
        if local_name(element) == "Param":
            yield element.get("name", ""), element.get("value", "")
        elif local_name(element) == "filter" and element.get("type") == "xpath":
            # How Comet wrote filters before it had Params.
            yield "xpath-filter", content(element) or ""


def _root(raw: bytes) -> etree._Element | None:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError:
        return None
    return root if root.getroottree().docinfo.internalDTD is None else None


def _is_role(word: str) -> TypeGuard[Role]:
    return word in ROLES


def _legal(words: str) -> str:
    """Characters that XML 1.0 cannot hold come from packets that are no XML: reasons quote them."""
    return _NOT_XML.sub("\ufffd", words)


def _text(words: str) -> str:
    return escape(_legal(words))
