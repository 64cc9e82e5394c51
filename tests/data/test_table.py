"""A CSV of files and labels."""

import pytest
import torch

from replaytree.data import load_data
from replaytree.data.table import table_parts
from replaytree.errors import DataError


@pytest.fixture
def table(tmp_path, write_images):
    """table(lines) writes things/labels.csv beside things/all/000.png to 011.png; returns its path."""
    write_images("things/all", 12)

    def write(*lines, encoding="utf-8"):
        file = tmp_path / "things" / "labels.csv"
        file.write_bytes("\n".join(lines).encode(encoding))
        return file

    return write


def rows(count, *, start=0, split=""):
    return [f"all/{number:03}.png,{'dog' if number % 3 else 'cat'}{split}" for number in range(start, start + count)]


def test_files_and_labels(table):
    file = table("file,label", *rows(12))
    data = load_data(file, image_size=8, val_fraction=0.25)
    assert (data.name, data.classes, data.image_shape, data.flip) == ("labels", ("cat", "dog"), (3, 8, 8), False)
    assert torch.bincount(torch.cat([data.train_labels, data.val_labels])).tolist() == [4, 8]
    assert data.val_count == 3
    assert data.notes == ("labels.csv: 12 rows as train",)
    assert load_data(file).image_shape == (3, 32, 32)


def test_it_equals_the_folder_of_the_same_pictures(pets):
    lines = [
        f"train/{name}/{number:03}.png,{name}" for name, count in (("cat", 6), ("dog", 4)) for number in range(count)
    ]
    (pets / "labels.csv").write_text("\n".join(["file,label", *lines]))
    assert load_data(pets / "labels.csv", image_size=8).fingerprint == load_data(pets, image_size=8).fingerprint


def test_parts(table):
    """Those of validation stay what they are, and those of test are not even opened."""
    lines = [*rows(6, split=",train"), *rows(3, start=6, split=",valid"), "all/broken.png,cat,TEST"]
    file = table(
        "label,file,split", *(",".join([line.split(",")[1], line.split(",")[0], line.split(",")[2]]) for line in lines)
    )
    (file.parent / "all" / "broken.png").write_bytes(b"no picture")
    assert table_parts(file) == {"train", "val", "test"}
    data = load_data(file, image_size=8)
    assert (data.train_count, data.val_labels.tolist()) == (6, [0, 1, 1])
    assert data.notes == (
        "labels.csv: 6 rows as train, 3 rows as validation, 1 row as test (not read before a retraining)",
    )


def test_other_labels_of_test_are_told_before_a_search(table):
    file = table("file,label,split", *rows(11, split=",train"), "all/011.png,bird,test")
    assert load_data(file, image_size=8).notes[1:] == (
        f"a retraining will refuse the test part: {file} has labels in its test rows that no train row has: bird",
    )


def test_bad_files_elsewhere_are_named_as_they_are_written(table, tmp_path, write_images):
    (write_images("beside", 1) / "bad.png").write_bytes(b"no picture")
    lines = ["file,label", *rows(12), "../beside/bad.png,cat", f"{tmp_path}/beside/bad.png,cat"]
    assert load_data(table(*lines), skip_bad=True).skipped == ("../beside/bad.png", f"{tmp_path}/beside/bad.png")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_ways_to_write_it(table, delimiter, tmp_path):
    plain = load_data(table("file,label", *rows(12)), image_size=8).fingerprint
    lines = [
        f" File {delimiter}LABEL{delimiter}author",
        *(line.replace(",", delimiter) + f"{delimiter}me" for line in rows(12)),
        "",
    ]
    assert load_data(table(*lines, encoding="utf-8-sig"), image_size=8).fingerprint == plain
    absolute = [f"{tmp_path}/things/{line}" for line in rows(12)]
    assert load_data(table("file,label", *absolute), image_size=8).fingerprint == plain


def test_all_missing_files_are_listed(table):
    names = [f"all/gone{number}.png" for number in range(23)]
    file = table("file,label,split", *rows(12, split=",train"), *(f"{name},cat,test" for name in names))
    with pytest.raises(DataError) as caught:
        load_data(file)
    text = str(caught.value)
    assert text.startswith(f"23 of 35 files that {file} names do not exist: all/gone0.png, all/gone1.png, ")
    assert ", all/gone19.png and 3 more; paths are relative to " in text
    assert "gone20" not in text
    (file.parent / "all" / "000.png").unlink()
    skipped = load_data(table("file,label", *rows(12)), skip_bad=True)
    assert (skipped.skipped, skipped.train_count + skipped.val_count) == (("all/000.png",), 11)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "names nothing; it must name file and label"),
        (["name,class", "a,b"], "names name, class; it must name file and label, and may name split"),
        (["file,label", "all/000.png"], r"line 2 of .*labels.csv has no label; add it"),
        (["file,label", ",cat"], "has no file"),
        (["file,label,split", "all/000.png,cat,fold1"], "has the split 'fold1'; it must be train, val or test"),
        (["file,label,split", "all/000.png,cat,"], "line 2 of .* has the split ''"),
        (["file,label,split", "all/000.png,cat"], "line 2 of .* has the split ''"),
        (["file,label", "all/000.png,cat", "all/001.png,cat"], "has only the label 'cat' to train on"),
        (
            ["file,label", "all/000.png,cat", "all/001.png,dog", "all/002.png,dog"],
            r"fewer than 2 readable images .*cat \(1\)",
        ),
        (["file,label,split", *rows(6, split=",train"), "all/006.png,cow,val"], "val rows that no train row has: cow"),
        (["file,label", '"all/000.png,cat'], "line 2 of .* has no label|is no line of a CSV"),
    ],
)
def test_tables_that_cannot_be_used(table, lines, message):
    with pytest.raises(DataError, match=message):
        load_data(table(*lines))


def test_a_table_that_is_no_text(table):
    with pytest.raises(DataError, match=r"labels.csv cannot be read: it is not UTF-8; save it again"):
        load_data(table("file,label", "all/000.png,\u00e9", encoding="latin-1"))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Image,Class", "; the column image as file; the column class as label"),
        ("path,label", "; the column path as file"),
        ("file,target", "; the column target as label"),
    ],
)
def test_columns_under_names_that_others_give_them(table, header, said):
    data = load_data(table(header, *rows(12)), image_size=8, val_fraction=0.25)
    assert data.classes == ("cat", "dog")
    assert data.notes == (f"labels.csv: 12 rows as train{said}",)


def test_a_usual_name_goes_before_others(table):
    lines = [f"{line},{number}" for number, line in enumerate(rows(12))]
    assert load_data(table("file,label,class", *lines), image_size=8).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Image,image,label", r"labels.csv names 2 columns image; call only the file so$"),
        ("file,label,split,Split", r"labels.csv names 2 columns split; call only the split so$"),
        ("filename,path,label", r"names filename, path, label: filename and path may each be the file; call the right"),
        (
            "image,kind",
            r"names image, kind; it must name file and label, .* no column for the label: call it label",
        ),
        ("", r"names nothing; .* no column for the file: call it file \(or filename, file_name, image, path, "),
    ],
)
def test_columns_that_are_unclear(table, header, message):
    with pytest.raises(DataError, match=message):
        load_data(table(header, *rows(12)), image_size=8)


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["all/000.png,cat", "all/001.png,dog"], "file,label as its first, before all/000.png"),
        (["cat;all/000.png", "dog;all/001.png"], "label;file as its first, before cat"),
        (["all/000.png,cat,train", "all/001.png,dog,val"], "file,label as its first, before all/000.png"),
    ],
    ids=["file first", "label first", "more columns"],
)
def test_a_table_without_a_header_is_told_so(table, lines, header):
    with pytest.raises(DataError, match=rf"labels.csv has no header line; write {header}$"):
        load_data(table(*lines), image_size=8)


def test_a_header_is_one_also_where_a_file_is_called_so(table):
    file = table("image,label", *rows(12))
    (file.parent / "image").touch()
    assert load_data(file, image_size=8).classes == ("cat", "dog")


def test_missing_files_are_named_as_the_table_has_them(table):
    file = table("file,label", *rows(6), "/nope/x.png,cat", "all/../y.png,dog")
    with pytest.raises(DataError, match=r"2 of 8 files .* do not exist: /nope/x\.png, all/\.\./y\.png; paths are"):
        load_data(file, image_size=8)
