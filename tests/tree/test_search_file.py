from __future__ import annotations

import gzip
import hashlib
import json
import os
import tracemalloc

import pytest

from replaytree.errors import SearchFileError, StorageUnavailable
from replaytree.tree.search_file import Header, read_header, read_rows, verify, write_lines

ROWS = [{"table": "searches", "name": "erste Süche"}, {"table": "nodes", "action": 3, "total_accuracy": 0.1}]


@pytest.fixture
def file(tmp_path):
    write_lines(tmp_path / "search.jsonl.gz", Header("0001"), ROWS)
    return tmp_path / "search.jsonl.gz"


def test_the_lines(file):
    first, second, third, last = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    assert first == b'{"format":"replaytree search","version":1,"revision":"0001"}\n'
    assert second == '{"table":"searches","name":"erste Süche"}\n'.encode()
    assert third == b'{"table":"nodes","action":3,"total_accuracy":0.1}\n'
    assert json.loads(last) == {"end": {"lines": 3, "sha256": hashlib.sha256(first + second + third).hexdigest()}}


def test_what_was_written_is_read(file):
    assert read_header(file) == Header("0001")
    assert list(read_rows(file)) == list(enumerate(ROWS, start=2))
    assert verify(file) == 2


def test_equal_rows_make_equal_bytes_whatever_the_name_and_the_time(file, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_lines(tmp_path / "other.gz", Header("0001"), iter(ROWS))
    assert (tmp_path / "other.gz").read_bytes() == file.read_bytes()


def test_a_writing_that_fails_leaves_the_older_file(file, tmp_path):
    before = file.read_bytes()

    def rows():
        yield ROWS[0]
        raise KeyError("half-way")

    with pytest.raises(KeyError):
        write_lines(file, Header("0001"), rows())
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(StorageUnavailable, match=r"none/x.gz cannot be written .No such file.*; choose another file"):
        write_lines(tmp_path / "none" / "x.gz", Header("0001"), ROWS)


@pytest.mark.parametrize("left", [0.05, 0.5, 0.9, 0.99])
def test_every_cut_is_noticed(file, left):
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    with pytest.raises(SearchFileError, match=r"search.jsonl.gz is truncated"):
        verify(file)


def repack(file, change):
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(change(lines))))


CHANGES = [
    (lambda lines: lines[:-1], "is truncated: it ends after line 3 without its last; export it again"),
    (lambda lines: lines[:2] + lines[3:], "was changed: its lines do not have the checksum"),
    (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "was changed"),
    (lambda lines: [*lines[:2], lines[2].replace(b"3", b"4"), lines[3]], "was changed"),
    (lambda lines: [*lines, lines[1]], "line 5: lines follow the end"),
    (lambda lines: [lines[0], lines[1][:-5], *lines[2:]], r"line 2: not JSON \(.*\); export the search again"),
    (lambda lines: [lines[0], b"[1]\n", *lines[1:]], "line 2: not a JSON object"),
    (lambda lines: [b'{"a": 1}\n', *lines[1:]], "is not an exported search; `replaytree db export NAME FILE` makes"),
    (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], "of format 2, from a newer repl"),
    (lambda lines: [], "is truncated"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[str(n) for n in range(len(CHANGES))])
def test_every_change_is_noticed(file, change, message):
    repack(file, change)
    with pytest.raises(SearchFileError, match=message):
        verify(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"SQLite format 3\0" + bytes(100), "is not an exported search, or it is damaged"),
        (b'{"format":"replaytree search"}\n', "is not an exported search, or it is damaged"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(b"\xff\xfe\n", mtime=0), "line 1: not JSON"),
        (gzip.compress(b"[" * 100_000, mtime=0), "line 1: not JSON"),
    ],
)
def test_files_of_others(content, message, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SearchFileError, match=message):
        read_header(tmp_path / "file")


def test_a_flipped_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))
    with pytest.raises(SearchFileError):
        verify(file)


def test_a_missing_file(tmp_path):
    with pytest.raises(SearchFileError, match=r"none.gz cannot be read .No such file or directory.; check its name"):
        read_header(tmp_path / "none.gz")


LINES = [
    (b'{"table":"nodes","a":NaN}', "line 3: not JSON .NaN is not a number of JSON"),
    (b'{"table":"nodes","a":-Infinity}', "line 3: not JSON .-Infinity"),
    (b'{"table":"nodes","a":1e999}', "line 3: not JSON .1e999 is beyond"),
    (b'{"table":"nodes","a":1,"a":2}', "line 3: not JSON .'a' is there twice"),
    (b'{"table":"nodes","a":"\\ud800"}', "line 3: not JSON .it is not UTF-8, or holds half a character"),
    (b'{"table":"nodes","a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "line 3: not JSON .it is nested too deeply"),
    (b'{"table":"nodes","a":' + b"9" * 5000 + b"}", "line 3: not JSON"),
]


@pytest.mark.parametrize(("line", "message"), LINES, ids=[str(n) for n in range(len(LINES))])
def test_json_that_no_database_holds(file, line, message):
    repack(file, lambda lines: [*lines[:2], line + b"\n", *lines[3:]])
    with pytest.raises(SearchFileError, match=message):
        verify(file)


@pytest.mark.parametrize("version", [b"-1", b"0", b"true", b"1.0", b'"1"', b"null"])
def test_versions_that_are_none(file, version):
    repack(file, lambda lines: [lines[0].replace(b'"version":1', b'"version":' + version), *lines[1:]])
    with pytest.raises(SearchFileError, match="is not an exported search"):
        read_header(file)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SearchFileError, match=r"pipe is no file but a pipe or a device"):
        read_header(tmp_path / "pipe")
    with pytest.raises(StorageUnavailable, match=r"pipe cannot be written .it is a folder, a pipe or a device"):
        write_lines(tmp_path / "pipe", Header("0001"), ROWS)


def test_a_small_file_takes_little_memory(file):
    repack(file, lambda lines: [*lines[:2], b'{"a":"' + b"A" * (100 * 2**20) + b'"}\n', *lines[3:]])
    assert file.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(SearchFileError, match="line 3: it unpacks to more than 16777216 bytes, and the file has "):
        verify(file)
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    tracemalloc.stop()


def test_many_small_lines_do_not_swell_for_ever(file, monkeypatch):
    monkeypatch.setattr("replaytree.tree.search_file.LEAST_TOTAL", 1000)
    repack(file, lambda lines: [*lines[:2], *[b'{"a":1}\n'] * 100_000])
    with pytest.raises(SearchFileError, match=r"line \d+: it unpacks to more than \d+ bytes, and the file has"):
        verify(file)


@pytest.mark.parametrize("name", ["x" * 300, "none/x.gz"])
def test_no_part_is_left_where_nothing_can_be_written(tmp_path, name):
    with pytest.raises(StorageUnavailable, match="cannot be written"):
        write_lines(tmp_path / name, Header("0001"), ROWS)
    assert list(tmp_path.iterdir()) == []
