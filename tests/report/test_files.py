import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import ConfigError
from replaytree.report.files import folder_name, write_whole


@pytest.mark.parametrize("name", ["digits", "cifar10-3", "a.b_c"])
def test_a_name_that_can_be_a_folder_is_one(name):
    assert folder_name(name) == name


@given(st.text(min_size=1))
def test_no_name_leaves_the_folder(name):
    folder = folder_name(name)
    assert folder not in ("", ".", "..")
    assert not set("/\\<>\0 ") & set(folder)


def test_names_that_look_alike_get_folders_of_their_own():
    assert len({folder_name(name) for name in ("a/b", "a\\b", "a b", "../a-b", "a-b")}) == 5


def test_a_page_replaces_the_one_before_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "index.html"
    write_whole(path, "first")
    write_whole(path, "second ü")
    assert path.read_text(encoding="utf-8") == "second ü"
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    assert path.stat().st_mode & 0o600 == 0o600


def test_a_folder_that_cannot_be_written_says_so_and_what_was_there_stays(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="--out"):
        write_whole(tmp_path / "file" / "index.html", "page")
    path = write_whole(tmp_path / "index.html", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "index.html"]


@pytest.mark.parametrize("name", ["x" * 300, "搜" * 300, "\U00020000" * 300, "../x", "a\udcff"])
def test_a_name_of_any_length_and_script_makes_a_folder(name, tmp_path):
    assert write_whole(tmp_path / folder_name(name) / "index.html", "page").parent.parent == tmp_path
