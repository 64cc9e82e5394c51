"""Whatever a command ends with: one line, an exit code, and a traceback only where it was asked for."""

import errno
import os
import random
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typer.main
from sqlalchemy.exc import ProgrammingError
from typer.models import OptionInfo

from replaytree import cli
from replaytree.cli import outcome

HOSTILE = (
    "", " ", "²", "٣", "nan", "inf", "-inf", "-1", "0", "1e300", "1e999999999", "9" * 400, "1" * 5000, "a" * 300,
    "/dev/null", "/", ".", "/proc/self/mem", "\udcff", "[/]", "\x1b[31m", "a\nb", "../" * 99, "~nobody/x", "None",
    "sqlite:///", "sqlite:////nowhere/x.db", "postgresql://%zz", "x://", "auto", "true", "1:2:3", "{}", "--", "-",
)  # fmt: skip
# What makes a command fail in the end where the hostile value is good.
LAST = {
    "run": ["--trainings", "0"],
    "bench": ["--json", "/nowhere/x.json"],
    "retrain": ["--path", "nothing", "--dataset", "nothing"],
}
# A good file name here starts hours of work.
WORKS = {("bench", "digits-table"), ("bench", "truth-table")}


@pytest.fixture(autouse=True)
def _untraced(here, monkeypatch):
    monkeypatch.delenv(outcome.TRACEBACK)


def commands():
    """Every command with its parameters."""
    app = typer.main.get_command(cli.app)
    for name, command in app.commands.items():
        if hasattr(command, "commands"):
            yield from (((name, sub), command.params) for sub, command in command.commands.items())
        else:
            yield (name,), command.params


def hostile_commands(count, seed):
    """So many commands, each with one hostile value."""
    chosen = random.Random(seed)
    every = [
        (words, params, param, value)
        for words, params in commands()
        if words not in WORKS
        for param in params
        if param.name not in ("watch", "help", "help_all")
        for value in HOSTILE
    ]
    for words, params, param, value in chosen.sample(every, count):
        arguments = [p for p in params if p.param_type_name == "argument" and (p.required or p is param)]
        line = [*words]
        if param.param_type_name == "option":
            line += [param.opts[0], value] if not param.is_flag else [param.opts[0]]
        line += LAST.get(words[0], [])
        yield [*line, "--", *(value if p is param else "missing" for p in arguments)] if arguments else line


def callbacks(app):
    for each in app.registered_commands:
        yield each.callback
    for group in app.registered_groups:
        yield from callbacks(group.typer_instance)


def test_every_number_is_read_by_a_parser_of_ours_which_says_how_to_write_it():
    found, bare = 0, []
    for callback in callbacks(cli.app):
        for name, hint in typing.get_type_hints(callback, include_extras=True).items():
            options = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, OptionInfo)]
            if options and re.search(r"\b(int|float)\b", str(hint.__origin__)):
                found += 1
                bare += [(callback.__name__, name)] * (options[0].parser is None)
    assert bare == []
    assert found > 100


def test_a_value_that_is_none_of_a_list_is_told_in_our_words(replaytree, here):
    code, _, err = replaytree("export", "mine", "--format", "foo")
    assert code == 2
    assert err.startswith("Error: Invalid value for '--format': 'foo' is not one of 'onnx'")


@pytest.mark.parametrize("seed", range(3))
def test_no_hostile_value_ends_in_a_traceback(replaytree, here, seed):
    failed = 0
    for line in hostile_commands(80, seed):
        code, out, err = replaytree(*line)
        assert code in (0, 1, 2), (line, err)
        assert "Traceback" not in out + err, line
        assert "Internal error" not in err, line
        if code == 2:
            failed += 1
            assert err.startswith("Error: "), (line, err)
            assert len(err.splitlines()) == 1, (line, err)
            assert "\x1b" not in err, line
    assert failed > 60
    assert not list(here.glob("*.html"))


def python(*words, **options):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "replaytree", *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_a_folder_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from replaytree.cli import main; main(sys.argv[1:])"
    for words in (["list"], ["run", "--trainings", "1"]):
        gone.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=gone, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_streams_that_are_closed_or_full(tmp_path):
    for redirection, code in ((">&-", 0), ("2>&- >&-", 0), (">/dev/full", 2)):
        done = subprocess.run(
            f"{sys.executable} -m replaytree --version {redirection}",
            shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr, "Exception ignored" in done.stderr) == (code, False, False)
    assert done.stderr == "Error: No space left on device; make room, or choose another disk\n"


def test_a_reader_that_leaves(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m replaytree run --help-all | head -n 1",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("Usage: replaytree run")
    assert done.stderr == ""


def test_a_terminal_that_is_not_utf_8(tmp_path):
    done = python(
        "best", "größe", cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii", "REPLAYTREE_STORAGE": ""}
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


MESSAGES = [
    (
        PermissionError(errno.EACCES, "Permission denied", "a.txt"),
        "Error: a.txt: Permission denied; choose another file",
    ),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", b"b\xff"), r"Error: b\udcff: No such file"),
    (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "Error: a -> b: Invalid cross-device link"),
    (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device; make room"),
    (MemoryError(), "Error: not enough memory; give a smaller --batch-size"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        "Error: not enough memory",
    ),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "Error: a text cannot be read or written"),
    (RuntimeError("Could not determine home directory."), "Error: there is no such home folder; set HOME"),
    (ProgrammingError("select 1", {}, Exception("no such table: x")), "Error: the database refused: no such table: x;"),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_what_is_no_fault_of_ours_is_one_line(replaytree, monkeypatch, error, message):
    code, out, err = failing(replaytree, monkeypatch, error)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_a_fault_of_ours_says_so_and_where_and_shows_its_traceback_when_asked(replaytree, monkeypatch):
    monkeypatch.setenv(outcome.TRACEBACK, "1")
    code, _, err = failing(replaytree, monkeypatch, KeyError("lost"))
    assert code == outcome.INTERNAL
    assert "Traceback (most recent call last)" in err
    monkeypatch.delenv(outcome.TRACEBACK)
    code, _, err = failing(replaytree, monkeypatch, KeyError("lost"))
    assert code == outcome.INTERNAL
    assert "Traceback" not in err
    assert err.startswith("Internal error: KeyError: 'lost' (in replaytree/cli/")
    assert "run it again with REPLAYTREE_TRACEBACK=1 and report what it prints" in err


def failing(replaytree, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("replaytree.cli.read.engine_of", fail)
    return replaytree("list")


def test_files_to_write_are_tried_before_the_work_starts(replaytree, here):
    (here / "folder").mkdir()
    os.mkfifo(here / "fifo")
    for file in ("folder", "nowhere/x.json", "a" * 300, "fifo"):
        code, out, err = replaytree("bench", "loop", "--json", file)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        code, out, err = replaytree("bench", "digits-table", file)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert sorted(path.name for path in here.iterdir()) == ["fifo", "folder"]


def test_tables_that_cannot_be_read(replaytree, here):
    (here / "binary").write_bytes(bytes(range(256)) * 9)
    (here / "binary.csv.gz").write_bytes(bytes(range(256)) * 9)
    os.mkfifo(here / "fifo")
    for file in ("binary", "binary.csv.gz", "fifo", "missing", ".", "a" * 300):
        for words in (["bench", "strategies", file], ["bench", "evaluator", "--truth", file]):
            code, out, err = replaytree(*words)
            assert (code, out, len(err.splitlines())) == (2, "", 1), (words, err)
            assert Path(file).name[:20] in err
    head = "dataset,space,chain,depth,arch,accuracy_0,seconds_0,accuracy_1,seconds_1,separate_accuracy,separate_seconds"
    space = '"{""max_layers"": 3}"'
    (here / "text.csv").write_text(f"{head}\ndigits,{space},one,1,conv32k3,0.5,1,0.5,1,0.5,1\n")
    code, _, err = replaytree("bench", "evaluator", "--truth", "text.csv")
    assert (code, err) == (2, "Error: row 1 of text.csv has chain 'one'; it must be a number\n")
    for wrong in ("xu24", "{}", '"{""max_layers"": 0}"', '"{""max_layers"": true}"', "[3]"):
        (here / "text.csv").write_text(f"{head}\ndigits,{wrong},1,1,conv32k3,0.5,1,0.5,1,0.5,1\n")
        code, _, err = replaytree("bench", "evaluator", "--truth", "text.csv")
        assert (code, len(err.splitlines())) == (2, 1), err
        assert "it must be the description of a space" in err
