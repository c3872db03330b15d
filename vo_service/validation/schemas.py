"""The XML Schemas by which documents are judged: a directory of .xsd files, found by their target namespaces.

A directory of the user's is read only. The other one, a cache, is filled from where namespaces have their schemas.
Nothing else is read or fetched while a schema is put together: every import and include is led to a file here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import url2pathname

from lxml import etree

from vo_service.errors import ServiceError, UsageError
from vo_service.validation.client import document
from vo_service.validation.documents import XSI, XSI_TYPE, Element
from vo_service.validation.findings import BrokenError, NoAnswerError

_XS: Final = "http://www.w3.org/2001/XMLSchema"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
_HINT: Final = f"{{{XSI}}}schemaLocation"

_ELSEWHERE: Final = {
    "http://purl.org/dc/elements/1.1/": "https://www.dublincore.org/schemas/xmls/simpledc20021212.xsd",
}
"""Schemas that are not where documents or their namespaces say."""

_XML_ATTRIBUTES: Final = f"""<xs:schema xmlns:xs="{_XS}" targetNamespace="{_XML}">
<xs:attribute name="lang">
<xs:simpleType><xs:union memberTypes="xs:language"><xs:simpleType><xs:restriction base="xs:string">
<xs:enumeration value=""/></xs:restriction></xs:simpleType></xs:union></xs:simpleType></xs:attribute>
<xs:attribute name="base" type="xs:anyURI"/><xs:attribute name="id" type="xs:ID"/>
<xs:attribute name="space" type="xs:NCName"/>
<xs:attributeGroup name="specialAttrs"><xs:attribute ref="xml:lang"/><xs:attribute ref="xml:base"/>
<xs:attribute ref="xml:space"/><xs:attribute ref="xml:id"/></xs:attributeGroup></xs:schema>
"""
"""The attributes that XML itself has: the W3C asks programs not to fetch its schema of them."""


class MissingSchemaError(ServiceError):
    """There is no schema to judge by."""


class Schemas:
    """Judges documents; `fetching` says whether what the directory lacks is fetched into it."""

    def __init__(self, directory: Path, *, fetching: bool) -> None:
        self._directory = directory
        self._fetching = fetching
        self._failed: dict[str, str] = {}
        self._silent: set[str] = set()
        if fetching:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "xml.xsd").write_text(_XML_ATTRIBUTES, encoding="utf-8")
        elif not directory.is_dir():
            raise UsageError(f"{directory}: expected a directory with .xsd files")
        self._known = _index(directory)
        self._compiled = lru_cache(maxsize=64)(self._compile)

    def complaints(self, element: Element) -> list[str]:
        """What is wrong with a document or a part of it. Raises MissingSchemaError."""
        wanted = frozenset(namespaces(element))
        if self._fetching:
            self._fetch_all(wanted, dict(_hints(element)))
        if missing := sorted(wanted - self._known.keys()):
            reason = self._failed.get(missing[0], f"none in {self._directory}")
            raise MissingSchemaError(f"no schema for {missing[0]}: {reason}")
        schema = self._compiled(wanted)
        schema.validate(element)
        return [f"line {entry.line}: {entry.message}" for entry in schema.error_log]  # type: ignore[attr-defined]

    def _compile(self, wanted: frozenset[str]) -> etree.XMLSchema:
        """One schema that imports those of all namespaces."""
        parser = _parser()
        parser.resolvers.add(_Reader(self._directory.resolve(), self._known))
        whole = etree.Element(f"{{{_XS}}}schema")
        for namespace in sorted(wanted):
            location = self._known[namespace].as_uri()
            etree.SubElement(whole, f"{{{_XS}}}import", namespace=namespace, schemaLocation=location)
        try:
            return etree.XMLSchema(etree.fromstring(etree.tostring(whole), parser))
        except etree.XMLSchemaParseError as error:
            again = " (delete the directory, and they are fetched again)" if self._fetching else ""
            raise MissingSchemaError(f"the schemas in {self._directory} do not fit together{again}: {error}") from None

    def _fetch_all(self, wanted: Iterable[str], hints: dict[str, str]) -> None:
        # Those that documents give addresses for first: they may lead to the others.
        for namespace in sorted(wanted, key=lambda name: (name not in hints, name)):
            hint = hints.get(namespace, "")
            self._fetch(namespace, hint if _is_of(hint, namespace) else _ELSEWHERE.get(namespace, namespace))

    def _fetch(self, namespace: str, url: str) -> None:
        """Take the schema of a namespace into the directory, and all that it imports."""
        if namespace in self._known or self._failed.get(namespace, "").startswith(url):
            return
        if urlsplit(url).netloc in self._silent:
            self._failed[namespace] = f"{url}: its host did not answer before"
            return
        target = self._directory / quote(namespace, safe="") / "schema.xsd"
        try:
            root = self._save(url, target)
        except BrokenError as error:
            if isinstance(error, NoAnswerError):
                # Behind a firewall each attempt would take its time.
                self._silent.add(urlsplit(error.address).netloc)
            self._failed[namespace] = f"{error.address}: {error.message}"
            return
        if root.get("targetNamespace") != namespace:
            target.unlink()
            self._failed[namespace] = f"{url}: its target namespace is {root.get('targetNamespace')}"
            return
        self._known[namespace] = target
        for element in root.iterfind(f"{{{_XS}}}import"):
            other = element.get("namespace", "")
            self._fetch(other, urljoin(url, element.get("schemaLocation") or _ELSEWHERE.get(other, other)))

    def _save(self, url: str, target: Path) -> Element:
        content = document(url).body
        root = _schema_root(url, content)
        for location in _includes(root):
            beside = (target.parent / location).resolve()
            if "://" not in location and beside.is_relative_to(self._directory.resolve()) and not beside.exists():
                self._save(urljoin(url, location), beside)
        target.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(target)
        return root


class _Reader(etree.Resolver):
    """Gives the parser the files of the directory, with imports led to files of the directory, and nothing else."""

    def __init__(self, directory: Path, known: dict[str, Path]) -> None:
        self._directory, self._known = directory, known

    def resolve(  # type: ignore[override]  # the stubs lack the context
        self, url: str, public_id: str, context: object
    ) -> object:
        path = Path(url2pathname(urlsplit(url).path)).resolve()
        if not path.is_relative_to(self._directory):
            # Of an empty answer the parser makes that it should look itself.
            return self.resolve_string(b"<outside/>", context, base_url=url)
        root = _schema_root(url, path.read_bytes())
        for element in root.iterfind(f"{{{_XS}}}import"):
            found = self._known.get(element.get("namespace", ""))
            if found is not None:
                element.set("schemaLocation", found.as_uri())
            elif "schemaLocation" in element.attrib:
                del element.attrib["schemaLocation"]
        for element in root.iterfind(f"{{{_XS}}}include"):
            element.set("schemaLocation", (path.parent / element.get("schemaLocation", "")).resolve().as_uri())
        return self.resolve_string(etree.tostring(root), context, base_url=url)


def namespaces(element: Element) -> Iterator[str]:
    """The namespaces of elements, attributes and types that are used."""
    for part in element.iter(etree.Element):
        for name in (part.tag, *part.attrib):
            namespace = etree.QName(name).namespace
            if namespace not in (None, XSI, _XML):
                yield namespace
        prefix = part.get(XSI_TYPE, "").strip().rpartition(":")[0] or None
        if XSI_TYPE in part.attrib and prefix in part.nsmap:
            yield part.nsmap[prefix]


def _hints(element: Element) -> Iterator[tuple[str, str]]:
    """Addresses of schemas by namespaces, as a document and what stands around it give them."""
    for part in (*element.iterancestors(), *element.iter(etree.Element)):
        words = part.get(_HINT, "").split()
        yield from zip(words[::2], words[1::2], strict=False)


def _is_of(url: str, namespace: str) -> bool:
    """Whether a schema comes from the host of its namespace: no other may say what is kept for all documents."""
    place, owner = urlsplit(url), urlsplit(namespace).netloc.removeprefix("www.")
    return place.scheme in ("http", "https") and bool(owner) and f".{place.netloc}".endswith(f".{owner}")


def _index(directory: Path) -> dict[str, Path]:
    """Files by target namespace; of several the last released version, and none that is a part of another."""
    found: dict[str, dict[Path, tuple[bool, list[int], str]]] = {}
    parts: set[Path] = set()
    for path in sorted(directory.resolve().rglob("*.xsd")):
        try:
            root = _schema_root(str(path), path.read_bytes())
        except BrokenError as error:
            raise UsageError(f"{path}: {error.message}") from None
        parts |= {(path.parent / location).resolve() for location in _includes(root)}
        if (namespace := root.get("targetNamespace")) is not None:
            found.setdefault(namespace, {})[path] = _age(root.get("version", ""), path)
    whole = {name: {path: age for path, age in files.items() if path not in parts} for name, files in found.items()}
    return {name: max(files, key=files.__getitem__) for name, files in whole.items() if files}


def _age(version: str, path: Path) -> tuple[bool, list[int], str]:
    """Drafts come before what is released: 1.3-wd4, 1.6pre."""
    released = re.fullmatch(r"[\d.]*", version) is not None
    return released, [int(part) for part in re.findall(r"\d+", version)], path.name


def _includes(root: Element) -> list[str]:
    return [element.get("schemaLocation", "") for element in root.iterfind(f"{{{_XS}}}include")]


def _schema_root(address: str, content: bytes) -> Element:
    """The root of a schema. Raises BrokenError if it is none."""
    # The schemas of the W3C have a document type declaration.
    try:
        root = etree.fromstring(content, _parser())
    except etree.XMLSyntaxError as error:
        raise BrokenError(address, f"expected an XML Schema, found what is not well-formed: {error}") from None
    if root.tag != f"{{{_XS}}}schema":
        raise BrokenError(address, f"expected an XML Schema, found {root.tag}")
    return root


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
