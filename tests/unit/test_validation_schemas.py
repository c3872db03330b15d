"""Schemas for `vo-service validate`: found by namespace, fetched once, and nothing else is read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lxml import etree

from vo_service.errors import UsageError
from vo_service.validation.documents import read_xml
from vo_service.validation.findings import BrokenError
from vo_service.validation.schemas import MissingSchemaError, Schemas

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def schema(namespace: str, content: str, version: str = "1.0") -> str:
    return (
        f'<xs:schema {XS} targetNamespace="{namespace}" xmlns="{namespace}" version="{version}"'
        f' elementFormDefault="qualified">{content}</xs:schema>'
    )


def element(name: str, kind: str) -> str:
    return f'<xs:element name="{name}" type="{kind}"/>'


def judge(schemas: Schemas, document: str) -> list[str]:
    return schemas.complaints(etree.fromstring(document))


def test_the_last_released_version_of_a_namespace_judges(tmp_path: Path) -> None:
    for version, kind in (("1.2", "xs:string"), ("1.10", "xs:int"), ("1.11-wd3", "xs:string"), ("1.9", "xs:string")):
        (tmp_path / f"x-{version}.xsd").write_text(schema("http://x.org", element("a", kind), version))
    schemas = Schemas(tmp_path, fetching=False)
    assert judge(schemas, '<a xmlns="http://x.org">1</a>') == []
    assert "xs:int" in judge(schemas, '<a xmlns="http://x.org">one</a>')[0]


def test_imports_and_includes_are_found_whatever_address_they_give(tmp_path: Path) -> None:
    imports = '<xs:import namespace="http://y.org" schemaLocation="http://y.invalid/not/here.xsd"/>'
    refers = '<xs:element ref="b"/><xs:element xmlns:y="http://y.org" ref="y:c"/>'
    content = (
        f'<xs:include schemaLocation="parts/b.xsd"/>{imports}<xs:element name="a"><xs:complexType>'
        f"<xs:sequence>{refers}</xs:sequence></xs:complexType></xs:element>"
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "a.xsd").write_text(schema("http://x.org", content))
    (tmp_path / "parts" / "b.xsd").write_text(schema("http://x.org", element("b", "xs:int")))
    (tmp_path / "c.xsd").write_text(schema("http://y.org", element("c", "xs:int")))
    schemas = Schemas(tmp_path, fetching=False)
    good = '<a xmlns="http://x.org"><b>1</b><c xmlns="http://y.org">2</c></a>'
    assert judge(schemas, good) == []
    assert len(judge(schemas, good.replace("1", "one").replace("2<", "two<"))) == 2


def test_without_a_schema_nothing_is_judged(tmp_path: Path) -> None:
    with pytest.raises(MissingSchemaError, match=r"no schema for http://x\.org"):
        judge(Schemas(tmp_path, fetching=False), '<a xmlns="http://x.org"/>')


def test_a_type_needs_the_schema_of_its_namespace(tmp_path: Path) -> None:
    (tmp_path / "x.xsd").write_text(schema("http://x.org", element("a", "xs:anyType")))
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    with pytest.raises(MissingSchemaError, match=r"no schema for http://y\.org"):
        judge(
            Schemas(tmp_path, fetching=False),
            f'<a xmlns="http://x.org" {xsi} xmlns:y="http://y.org" xsi:type="y:T"/>',
        )


@pytest.mark.parametrize("content", ["<xs:schema", "<a/>"])
def test_files_that_are_no_schemas_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.xsd").write_text(content)
    with pytest.raises(UsageError, match=r"x\.xsd: expected an XML Schema"):
        Schemas(tmp_path, fetching=False)


def test_no_file_outside_the_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.xsd").write_text(schema("http://x.org", element("b", "xs:int")))
    for address in ("../out.xsd", (tmp_path / "out.xsd").as_uri()):
        text = schema("http://x.org", f'<xs:include schemaLocation="{address}"/>{element("a", "xs:int")}')
        (tmp_path / "in" / "x.xsd").write_text(text)
        with pytest.raises(MissingSchemaError, match="do not fit together"):
            judge(Schemas(tmp_path / "in", fetching=False), '<b xmlns="http://x.org">1</b>')


@contextmanager
def web(files: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """A web server of these files; gives its address, and the paths that are asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            here = f"http://127.0.0.1:{port}"
            self.send_response(200 if self.path in files else 404)
            self.end_headers()
            self.wfile.write(files.get(self.path, "").replace("HERE", here).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_schemas_are_fetched_once_with_what_they_import_and_include(tmp_path: Path) -> None:
    content = (
        '<xs:include schemaLocation="parts/b.xsd"/><xs:import namespace="HERE/y" schemaLocation="other/y.xsd"/>'
        '<xs:import namespace="http://www.w3.org/XML/1998/namespace"/>'
        '<xs:element name="a"><xs:complexType><xs:sequence><xs:element ref="b"/>'
        '<xs:element xmlns:y="HERE/y" ref="y:c"/></xs:sequence><xs:attribute ref="xml:lang"/></xs:complexType>'
        "</xs:element>"
    )
    files = {
        "/x": schema("HERE/x", content),
        "/parts/b.xsd": schema("HERE/x", element("b", "xs:int")),
        "/other/y.xsd": schema("HERE/y", element("c", "xs:int")),
    }
    with web(files) as (url, asked):
        document = f'<a xmlns="{url}/x" xml:lang="en"><b>1</b><c xmlns="{url}/y">2</c></a>'
        assert judge(Schemas(tmp_path / "cache", fetching=True), document) == []
        assert sorted(asked) == ["/other/y.xsd", "/parts/b.xsd", "/x"]
        again = Schemas(tmp_path / "cache", fetching=True)
        assert judge(again, document) == []
        assert len(judge(again, document.replace("1<", "one<").replace("2<", "two<"))) == 2
        assert len(asked) == 3


def test_documents_give_addresses_of_schemas_on_the_host_of_the_namespace_alone(tmp_path: Path) -> None:
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    files = {"/there/x.xsd": schema("HERE/x", element("a", "xs:int"))}
    with web(files) as (url, asked):
        own = f'<a xmlns="{url}/x" {xsi} xsi:schemaLocation="{url}/x {url}/there/x.xsd">1</a>'
        assert judge(Schemas(tmp_path / "1", fetching=True), own) == []
        strange = own.replace(f'"{url}/x"', '"http://x.invalid"').replace(f'"{url}/x ', '"http://x.invalid ')
        asked.clear()
        with pytest.raises(MissingSchemaError, match=r"no schema for http://x\.invalid: http://x\.invalid"):
            judge(Schemas(tmp_path / "2", fetching=True), strange)
        assert asked == []


def test_what_cannot_be_fetched_is_said_and_not_asked_for_again(tmp_path: Path) -> None:
    with web({"/y": schema("http://other.org", "")}) as (url, asked):
        schemas = Schemas(tmp_path, fetching=True)
        for _ in range(2):
            with pytest.raises(MissingSchemaError, match="status 200, found 404"):
                judge(schemas, f'<a xmlns="{url}/x"/>')
            with pytest.raises(MissingSchemaError, match=r"its target namespace is http://other\.org"):
                judge(schemas, f'<a xmlns="{url}/y"/>')
        assert asked == ["/x", "/y"]
    assert [path.name for path in tmp_path.rglob("*.xsd")] == ["xml.xsd"]


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>',
        "<a><b></a>",
    ],
)
def test_documents_from_outside_have_no_entities(document: str) -> None:
    with pytest.raises(BrokenError):
        read_xml("http://x.org", document.encode())


def test_a_host_that_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    with web({}) as (url, _):
        pass
    schemas = Schemas(tmp_path, fetching=True)
    with pytest.raises(MissingSchemaError, match="expected an answer"):
        judge(schemas, f'<a xmlns="{url}/x"/>')
    with pytest.raises(MissingSchemaError, match="its host did not answer before"):
        judge(schemas, f'<a xmlns="{url}/y"/>')
