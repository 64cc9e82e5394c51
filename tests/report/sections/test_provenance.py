from datetime import timedelta

import pytest

from replaytree.report.reading import read_search
from replaytree.report.sections.provenance import (
    FailureRow,
    config_facts,
    data_facts,
    duration,
    failure_rows,
    machine_facts,
)


def test_where_the_numbers_come_from(data):
    facts = {fact.name: fact.value for fact in [*data_facts(data), *machine_facts(data), *config_facts(data)]}
    assert facts["data set"] == facts["dataset"] == "toys"
    assert facts["sha-256 of the images and labels"] == "ab" * 32
    assert facts["validation images"] == "100"
    assert facts["2 classes"] == "a, b"
    assert facts["seed"] == "7"
    assert facts["python"] == "3.11"
    assert facts["of which training"] == "8 s"


def test_failures_by_kind(data):
    assert failure_rows(data) == [FailureRow("diverged", 1, 5, "loss is nan")]


def test_an_evaluator_of_ones_own_has_no_fingerprint(grow, golden):
    assert data_facts(read_search(grow(golden, data_json=None))) == []


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (75, "1 min 15 s"), (3720, "1 h 2 min")])
def test_durations(seconds, text):
    assert duration(timedelta(seconds=seconds)) == text
