"""What taplint, datalinklint and votlint write becomes findings."""

from __future__ import annotations

from vo_service.validation.stilts import complaints

TAPLINT = """This is STILTS taplint, 3.4.7
Static report types: ERROR(172), WARNING(77), INFO(31), SUMMARY(13), FAILURE(25)

Section CAP: Check TAP and TAPRegExt content of capabilities document
I-CAP-SVRI-1 HTTP server header "Server: x"
W-CAP-CULF-1 Custom feature type "ivo://x" for language ADQL
E-TMS-QERR-1 Error status: <INFO name="QUERY_STATUS" value="ERROR">
E-TMS-QERR-x (3 more)
F-LOC-NOTP-1 No table with name ivoa.obsplan
S-TMS-SUMM-1 Schemas: 3, Tables: 8

Totals: Errors: 4; Warnings: 1; Infos: 1; Summaries: 1; Failures: 1
"""

DATALINKLINT = """
I-DLVN-1 Datalink version: V1.1
W-SMCO-1 Deprecated predicate
E-SMCO-1 Unknown predicate 'documentation' from core DataLink vocabulary
E-SMCO-2 Unknown predicate 'nonsense' from core DataLink vocabulary
Totals: Errors: 2; Warnings: 1; Infos: 1; Summaries: 0; Failures: 0
"""

VOTLINT = """INFO (l.1): No arraysize
WARNING (l.2): Unknown attribute
ERROR (l.3, c.4): Element out of place
"""


def lines(task: str, output: str) -> list[str]:
    return [str(finding) for finding in complaints(task, "http://x.org", output)]


def test_taplint() -> None:
    assert lines("taplint", TAPLINT) == [
        'WARNING stilts http://x.org: taplint CAP-CULF Custom feature type "ivo://x" for language ADQL',
        'ERROR stilts http://x.org: taplint TMS-QERR Error status: <INFO name="QUERY_STATUS" value="ERROR">',
        "ERROR stilts http://x.org: taplint TMS-QERR (3 more)",
        "SKIPPED stilts http://x.org: taplint could not check: LOC-NOTP No table with name ivoa.obsplan",
    ]


def test_datalinklint_whose_vocabulary_is_old() -> None:
    assert lines("datalinklint", DATALINKLINT) == [
        "WARNING stilts http://x.org: datalinklint SMCO Deprecated predicate",
        "WARNING stilts http://x.org: datalinklint SMCO Unknown predicate 'documentation' from core DataLink vocabulary"
        " (the vocabulary of STILTS 3.4 is older than this term)",
        "ERROR stilts http://x.org: datalinklint SMCO Unknown predicate 'nonsense' from core DataLink vocabulary",
    ]


def test_votlint() -> None:
    assert lines("votlint", VOTLINT) == [
        "WARNING stilts http://x.org: votlint (l.2): Unknown attribute",
        "ERROR stilts http://x.org: votlint (l.3, c.4): Element out of place",
    ]


def test_nothing_said_is_nothing_found() -> None:
    assert lines("votlint", "") == []


def test_what_comes_from_outside_writes_nothing_but_text() -> None:
    assert lines("votlint", "ERROR \x1b[2J\tgone") == ["ERROR stilts http://x.org: votlint \ufffd[2J gone"]
