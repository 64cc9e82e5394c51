from __future__ import annotations

import pytest

from replaytree.errors import ConfigError
from replaytree.tree import ReplayTree, list_searches, open_engine, require_name, usable_name


@pytest.mark.parametrize("name", ["digits-1", "a b", "Süche", "搜索", "[b]", "[red]x", "it's", "a.b", "%s", "x" * 100])
def test_names_that_searches_may_have(name):
    require_name(name)


BAD = [
    ("", "name is ''; a search needs a name .--name"),
    ("  ", "a search needs a name"),
    ("x" * 101, "it has 101 characters, and a name has at most 100"),
    (" a", "does not begin or end with a space"),
    ("-a", "begins with '-' would be read as an option"),
    ("../x", "a name has no '/'"),
    ("a\\b", r"a name has no '\\\\'"),
    ("..", "is not made of dots alone"),
    ("a\nb", r"a name has no '\\n': no slashes, line ends or invisible"),
    ("a\x1b[2J", r"a name has no '\\x1b'"),
    ("a\0", r"a name has no '\\x00'"),
    ("a\u202eb", r"a name has no '\\u202e'"),
    ("a\udcff", r"a name has no '\\udcff'"),
    ("a\u2028b", r"a name has no '\\u2028'"),
]


@pytest.mark.parametrize(("name", "message"), BAD)
def test_names_that_no_new_search_may_have(name, message, create):
    with pytest.raises(ConfigError, match=message):
        create(engine := open_engine("sqlite://"), name)
    assert list_searches(engine) == []


def test_a_search_that_has_such_a_name_keeps_it(create):
    engine = open_engine("sqlite://")
    create(engine, "old")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE searches SET name = '../a' || char(10)")
    assert ReplayTree.open(engine, "../a\n").info().name == "../a\n"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("pictures", "pictures"),
        ("-x", "x"),
        ("...", "images"),
        ("a\nb", "a-b"),
        ("caf\udce9", "caf-"),
        ("", "images"),
        ("y" * 300, "y" * 80),
    ],
)
def test_a_folder_begins_a_name(folder, name):
    assert usable_name(folder, otherwise="images") == name
    require_name(f"{usable_name(folder, otherwise='images')}-123456")
