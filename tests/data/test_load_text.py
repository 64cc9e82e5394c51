import gzip

import pytest

from replaytree.data import load_again, load_data, load_source, load_text, stored_path, task_of, texts_found
from replaytree.errors import DataError


def test_a_folder(text_folder):
    data = load_text(text_folder)
    assert data.name == "stories"
    assert data.words[0] == "the"
    assert {"<unk>", "<eos>"} < set(data.words)
    assert (data.train_N == data.words.index("<eos>")).sum() == 120
    assert (data.val_N == data.words.index("<eos>")).sum() == 30


def test_gzipped_files_and_windows_line_ends_read_alike(text_folder):
    before = load_text(text_folder)
    train = text_folder / "train.txt"
    content = train.read_bytes()
    train.unlink()
    (text_folder / "train.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")))
    assert load_text(text_folder).fingerprint == before.fingerprint


def test_the_test_part_is_not_read(text_folder):
    before = load_text(text_folder)
    (text_folder / "test.txt").write_bytes(b"\xff\xff")
    assert load_text(text_folder).fingerprint == before.fingerprint


def test_what_is_wrong_with_the_files(text_folder, tmp_path):
    (text_folder / "valid.txt").write_bytes(b"a line\nna\xefve\n")
    with pytest.raises(DataError, match=r"line 2 of .*valid.txt is not UTF-8 \(byte 0xef\); convert the file"):
        load_text(text_folder)
    (text_folder / "valid.txt").unlink()
    with pytest.raises(DataError, match=r"stories has no valid.txt; a text is a folder with train.txt, valid.txt and"):
        load_text(text_folder)
    (text_folder / "valid.txt.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"valid.txt.gz cannot be read \(Not a gzipped file.*put a whole file"):
        load_text(text_folder)


def test_the_task_is_what_the_folder_holds(text_folder, pets):
    assert (task_of("ptb"), task_of("digits"), task_of(text_folder), task_of(pets)) == (
        "text", "images", "text", "images",
    )  # fmt: skip
    assert task_of(pets, task="text") == "text"
    with pytest.raises(DataError, match="task is images, and ptb is known to be text; leave out --task"):
        task_of("ptb", task="images")


def test_load_source_reads_either(text_folder, pets):
    assert load_source(text_folder, seed=3, image_size=8, val_fraction=0.2, skip_bad=True).num_classes > 2
    assert load_source(pets, image_size=8, val_fraction=0.4, min_count=3).classes == ("cat", "dog")
    with pytest.raises(DataError, match=r"ptb is a text, and load_data\(\) reads images; take load_text\('ptb'\)"):
        load_data("ptb")


def test_again_only_the_same_words(text_folder):
    before = load_text(text_folder).fingerprint.to_json()
    assert load_again("search 'a'", before, dataset=str(text_folder)).fingerprint.to_json() == before
    (text_folder / "train.txt").write_text((text_folder / "train.txt").read_text() + "a word more\n")
    with pytest.raises(DataError, match=r"the words of .*stories are not those of search 'a': train_count was \d+, is"):
        load_again("search 'a'", before, dataset=str(text_folder))


def test_a_named_text_that_is_not_there(tmp_path):
    with pytest.raises(
        DataError, match=r"ptb is not under .*: there is no ptb/ptb.train.txt, nor ptb.train.txt.gz. Its"
    ):
        load_text("ptb", data_dir=tmp_path)
    assert texts_found(tmp_path) == {"ptb": False}
    assert stored_path("ptb") == "ptb"


def test_files_that_are_not_those_of_a_named_text(tmp_path, text_folder):
    (tmp_path / "ptb").mkdir()
    for part in ("train", "valid"):
        (text_folder / f"{part}.txt").rename(tmp_path / "ptb" / f"ptb.{part}.txt")
    with pytest.raises(
        DataError, match=r"the files of ptb have 1,099 train words .* not 929,589 and 10,000: they are others"
    ):
        load_text("ptb", data_dir=tmp_path)


def test_penn_treebank(real_data):
    if not texts_found(real_data)["ptb"]:
        pytest.skip("no ptb in REPLAYTREE_DATA")
    data = load_text("ptb", data_dir=real_data)
    assert (data.train_count, data.val_count, data.num_classes) == (929_589, 73_760, 10_000)
    assert data.words[:3] == ("the", "<unk>", "<eos>")
    assert (data.train_N == data.words.index("<eos>")).sum() == 42_068
    assert data.notes == ()
    part = load_text("ptb", data_dir=real_data, train_limit=1000)
    assert (part.train_count, part.num_classes) == (1000, 10_000)


def test_what_is_no_place():
    with pytest.raises(DataError, match=r"dataset is a int; it must be a name \(ptb\) or the path of a folder"):
        load_text(7)
