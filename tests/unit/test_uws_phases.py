"""The law of phases (UWS 1.1, section 2.1.3)."""

from __future__ import annotations

import pytest

from vo_service.uws.phases import ACTIVE, ENDED, SUCCESSORS, Phase, predecessors


def reachable(start: Phase) -> set[Phase]:
    """The phases that a job can come to."""
    found = {start}
    while new := {after for phase in found for after in SUCCESSORS[phase]} - found:
        found |= new
    return found


def test_every_phase_has_its_successors() -> None:
    assert set(SUCCESSORS) == set(Phase)


def test_a_job_can_come_to_every_phase_that_it_is_in_here() -> None:
    assert reachable(Phase.PENDING) == ACTIVE | ENDED | {Phase.ARCHIVED}


@pytest.mark.parametrize("phase", sorted(ACTIVE | ENDED))
def test_every_job_can_be_archived(phase: Phase) -> None:
    assert Phase.ARCHIVED in SUCCESSORS[phase]


@pytest.mark.parametrize("phase", sorted(ENDED))
def test_what_has_ended_never_runs_again(phase: Phase) -> None:
    assert not reachable(phase) & ACTIVE


def test_results_come_only_from_running() -> None:
    assert predecessors(Phase.COMPLETED) == predecessors(Phase.ERROR) == {Phase.EXECUTING}


@pytest.mark.parametrize("phase", Phase)
def test_predecessors_are_the_law_read_backwards(phase: Phase) -> None:
    assert predecessors(phase) == {before for before in Phase if phase in SUCCESSORS[before]}
