"""The end of a command: the one place where exceptions become one line and an exit code.

2    the user can fix it: a wrong option, a file that cannot be read, no memory left
70   a fault of replaytree: the line names its place, and REPLAYTREE_TRACEBACK=1 shows the traceback
130  Ctrl-C
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from replaytree.cli.text import escaped, say
from replaytree.errors import ReplayTreeError, StorageError
from replaytree.memory import is_out_of_memory

TRACEBACK = "REPLAYTREE_TRACEBACK"
INTERNAL = 70

# Depending on its version, Typer has its own copy of click or imports click: this is its UsageError.
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]

INTERRUPTED = 130


def end(error: BaseException) -> int:
    """Print what ended a command, and return its exit code."""
    if isinstance(error, BrokenPipeError):
        _forget_stdout()
        return 1
    if isinstance(error, KeyboardInterrupt):
        say("Stopped at once; what was committed stays.", error=True)
        return INTERRUPTED
    if isinstance(error, typer.Abort):
        say("Nothing was done.", error=True)
        return 1
    error = _blamed(error) or error
    text = expected(error)
    if os.environ.get(TRACEBACK) and not isinstance(error, ReplayTreeError | USAGE_ERROR):
        say("".join(traceback.format_exception(error)), error=True)
    if text is None:
        say(f"Internal error: {escaped(_told(error))}{_where(error)}.", error=True)
        say(
            f"This is a fault of replaytree. Please run it again with {TRACEBACK}=1 and report what it prints.",
            error=True,
        )
        return INTERNAL
    say(text, error=True)
    return 2


def _blamed(error: BaseException) -> BaseException | None:
    """An invalid value in an open database, which may be the cause of a failure."""
    # Not imported here: if nothing else has imported it, no database was opened.
    engine: Any = sys.modules.get("replaytree.tree.engine")
    clear = isinstance(error, OSError | USAGE_ERROR) or (
        isinstance(error, ReplayTreeError) and type(error) is not StorageError
    )
    if engine is None or clear or is_out_of_memory(error):
        return None
    from replaytree.tree.check import blamed

    return blamed(list(engine.OPENED))


@contextmanager
def unwinding() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, through every `finally`, so that no half-written file is left; exit code 143."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def expected(error: BaseException) -> str | None:
    """The line for an error that is not our fault; None for one that is."""
    if isinstance(error, USAGE_ERROR):
        return _usage(error)
    if isinstance(error, ReplayTreeError):
        return f"Error: {escaped(error)}"
    reason = _reason(error)
    return None if reason is None else f"Error: {escaped(reason)}"


def _reason(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _of_system(error)
    if is_out_of_memory(error):
        return (
            "not enough memory; give a smaller --batch-size, --image-size, --width or --train-limit, "
            "or end other programs"
        )
    if isinstance(error, UnicodeError):
        return f"a text cannot be read or written in its encoding ({_told(error)}); UTF-8 is expected"
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "there is no such home folder; set HOME, or name folders without ~ (--data-dir, XDG_CACHE_HOME)"
    # Not imported here: if nothing else has imported it, it raised nothing.
    sql: Any = sys.modules.get("sqlalchemy.exc")
    if sql is not None and isinstance(error, sql.SQLAlchemyError):
        return f"the database refused: {_first_line(getattr(error, 'orig', None) or error)}; check --storage"
    return None


def _of_system(error: OSError) -> str:
    """What the operating system refused, with the path."""
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not files and error.errno == errno.ENOENT and not _has_folder():
        return "the folder in which this command was started is gone; change to one that exists"
    what = error.strerror or _first_line(error) or type(error).__name__
    advice = {
        errno.ENOSPC: "; make room, or choose another disk",
        errno.EDQUOT: "; make room, or choose another disk",
        errno.EACCES: "; choose another file or folder, or change its permissions",
        errno.EPERM: "; choose another file or folder, or change its permissions",
        errno.EROFS: "; choose another file or folder",
        errno.EMFILE: "; raise the limit with `ulimit -n`",
    }.get(error.errno or 0, "")
    return f"{' -> '.join(files)}: {what}{advice}" if files else f"{what}{advice}"


def _usage(error: Any) -> str:
    """One line on a command that cannot be parsed; its help if it needs arguments and has none."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(context.get_help())
    path = context.command_path if context else "replaytree"
    # Typer's parser names the class of its own error, too.
    told = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
    message = escaped(told.rstrip("."))
    return f"Error: {message}; `{path} --help` shows what there is"


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}".rstrip(": ")


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else ""


def _where(error: BaseException) -> str:
    """The last place in replaytree through which an error passed."""
    package = str(Path(__file__).parents[1])
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(package)]
    if not own:
        return ""
    return f" (in replaytree{own[-1].filename.removeprefix(package)}, line {own[-1].lineno})"


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _forget_stdout() -> None:
    """The reader of a pipe is gone: send Python's last flush nowhere, so that it does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        # There is no such stream, or it is not a file.
        return
