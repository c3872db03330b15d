"""The labelled ADQL queries: every one judged as labelled, but those listed here with the reason."""

from __future__ import annotations

import json
from pathlib import Path

from tap.adql import AdqlError, parse

DISAGREEMENTS = {
    "adql-0304": "INNER JOIN without a condition: the grammar allows it; the translator refuses it",
    "adql-1432": "one semicolon at the end: forgiven, as other services do and TOPCAT users expect",
}


def accepts(query: str, version: str) -> bool:
    try:
        parse(query, version="2.0" if version == "2.0" else "2.1")
    except AdqlError:
        return False
    return True


def test_labelled_queries(shared: Path) -> None:
    lines = (shared / "conformance" / "adql" / "adql_cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for line in lines if not (case := json.loads(line))["disputed"]]
    wrong = {case["id"] for case in cases if accepts(case["query"], case["version"]) != case["valid"]}
    assert len(cases) > 1400
    assert wrong == set(DISAGREEMENTS)
