"""Options that are gone: refused where they are given, left out where they are stored."""

import json
from dataclasses import fields

import pytest

import replaytree
from replaytree.config import REMOVED, SearchConfig, removed_notes, without_unused
from replaytree.errors import ConfigError


def stored(**values):
    return json.dumps(json.loads(SearchConfig(seed=3).to_json()) | values)


def test_a_stored_removed_option_is_read_and_left_out():
    assert SearchConfig.from_json(stored(calibrate=0.2)) == SearchConfig(seed=3)
    with pytest.raises(ConfigError, match="unknown option 'calibre'"):
        SearchConfig.from_json(stored(calibre=0.2))


def test_whoever_gives_one_is_told_why_it_went(tmp_path):
    removed = "--calibrate was removed, because depth calibration made rankings less faithful; leave it out"
    with pytest.raises(ConfigError, match=f"^{removed}$"):
        replaytree.Search(calibrate=0.2, storage=f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_only_what_was_in_use_is_told():
    assert removed_notes({"seed": 3}) == removed_notes({"calibrate": 0.0}) == []
    assert removed_notes({"calibrate": 0.25, "seed": 3}) == [
        "it was begun with --calibrate 0.25, which was removed, because depth calibration made rankings less faithful; "
        "its averages are now plain"
    ]


def test_what_was_off_does_not_tell_two_searches_apart():
    assert without_unused({"calibrate": 0.0, "seed": 3}) == {"seed": 3}
    assert without_unused({"calibrate": 0.5, "seed": 3}) == {"calibrate": 0.5, "seed": 3}


def test_what_is_removed_is_no_field():
    assert not REMOVED.keys() & {field.name for field in fields(SearchConfig)}
