import os

import pytest

from replaytree.data import find_source, load_data, stored_path
from replaytree.errors import DataError


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    (tmp_path / "work" / "pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_a_path_is_stored_whole(at_home):
    assert stored_path("pictures") == str(at_home / "work" / "pictures")
    assert stored_path("digits") == "digits"
    with pytest.raises(DataError, match="neither a data set nor a folder"):
        stored_path("nothing", at_home)


@pytest.mark.parametrize("given", ["new", "new/pictures", "elsewhere"])
def test_a_moved_folder_is_found(at_home, given):
    """By its new parent, by itself, and by itself under another name."""
    stored = stored_path("pictures")
    target = at_home / ("elsewhere" if given == "elsewhere" else "new/pictures")
    target.parent.mkdir(exist_ok=True)
    os.rename(stored, target)
    assert find_source(stored, at_home / given) == target


def test_data_dir_comes_first_where_the_old_folder_is_still_there(at_home):
    (at_home / "new" / "pictures").mkdir(parents=True)
    stored = stored_path("pictures")
    assert find_source(stored, at_home / "new") == at_home / "new" / "pictures"
    assert find_source(stored, at_home) == at_home / "work" / "pictures"


def test_the_folder_of_the_named_data_sets_is_no_moved_folder(at_home, monkeypatch):
    """Though pictures in it are found by name."""
    (at_home / "data" / "pictures").mkdir(parents=True)
    monkeypatch.setenv("REPLAYTREE_DATA", str(at_home / "data"))
    assert find_source("/gone/pictures", str(at_home / "data")) == at_home / "data" / "pictures"
    with pytest.raises(DataError, match=rf"/gone/other does not exist, nor other in {at_home}/data; .*--data-dir"):
        find_source("/gone/other", str(at_home / "data"))


def test_nowhere(at_home):
    with pytest.raises(DataError, match=r"/gone/pictures does not exist; check .*--data-dir"):
        find_source("/gone/pictures")
    with pytest.raises(DataError, match=r"/gone/pictures does not exist, nor pictures in /also/gone"):
        find_source("/gone/pictures", "/also/gone")
    with pytest.raises(DataError, match="~nobody-here/pictures does not exist"):
        find_source("~nobody-here/pictures")
    with pytest.raises(DataError, match="name is empty"):
        find_source("")
    (at_home / "file").touch()
    with pytest.raises(DataError, match="file is no data set; give the folder"):
        find_source(str(at_home / "file"))


def test_a_folder_whose_name_is_near_is_suggested(at_home):
    with pytest.raises(DataError, match="'picture' is neither a data set nor a folder; did you mean pictures"):
        find_source("picture")
    here = at_home / "work"
    with pytest.raises(DataError, match=f"{here}/Pictures does not exist; did you mean {here}/pictures"):
        find_source(f"{here}/Pictures")
    # A named data set whose name is near, where no folder's is; and nothing where nothing is.
    with pytest.raises(DataError, match="'cifar_10' is neither a data set nor a folder; did you mean cifar10"):
        find_source("cifar_10")
    with pytest.raises(DataError, match=r"'zebra' is neither a data set nor a folder\. Known"):
        find_source("zebra")


@pytest.mark.parametrize("wrong", [7, None, [1, 2], {"a": 1}])
def test_what_is_no_path(wrong):
    with pytest.raises(DataError, match=r"dataset is a \w+; it must be a name .*from_arrays"):
        load_data(wrong)
