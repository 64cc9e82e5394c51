"""The state of an evaluator as a part of the search: loaded from its file, and written after every turn.

The file is written before the transaction of the turn, which refers to it. So after a crash tree, strategy and
evaluator are of the same turn (tree/state_files.py says what lies where).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike, fspath
from os.path import abspath, expanduser
from typing import Any

from sqlalchemy import URL

from replaytree.border import reason
from replaytree.errors import ConfigError, CorruptTree, EvaluationError, StateUnusable, StorageError
from replaytree.evaluate import rescores_of, rescoring
from replaytree.records import Path, PathEvaluation, StatefulEvaluator
from replaytree.search import tensor_file
from replaytree.search.state import pack, unpack
from replaytree.tree import ReplayTree, StateFile, StateFolder, advice, needs_folder, read_state, shown

# The one that the database refers to, and the one before it.
KEPT = 2


class EvaluatorState:
    """What a search does about the state of its evaluator, which has none where `evaluator` is None.

    `state_dir` is where the files are and go from now on; None is where they were, at first `begun_in`, or beside the
    database. `restart`: not to go on from what is stored.
    """

    def __init__(
        self,
        evaluator: StatefulEvaluator | None,
        *,
        state_dir: str | PathLike[str] | None = None,
        begun_in: str | None = None,
        restart: bool = False,
    ) -> None:
        self._evaluator = evaluator
        self._given = None if state_dir is None else abspath(expanduser(fspath(state_dir)))
        self._state_dir = self._given or begun_in
        self._restart = restart
        self._files: list[StateFile] = []
        # torch's own form holds more, which a user's evaluator may have.
        self._suffix = str(getattr(evaluator, "state_suffix", ".pt"))
        self._folder: StateFolder | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._proven = False

    @property
    def exists(self) -> bool:
        """Whether the evaluator has a state."""
        return self._evaluator is not None

    @property
    def epochs_before(self) -> int:
        """What is added to the epochs that the evaluator reports: those of before its weights were last made anew."""
        return self._files[-1].epochs_before if self._files else 0

    def own_folder(self, tree: ReplayTree) -> StateFolder | None:
        """Where files of the search go, whether or not there is a state; None where there is no such place."""
        if self._state_dir is None and needs_folder(tree.engine.url):
            return None
        return tree.state_folder(self._state_dir)

    def require_folder(self, url: URL, *, stored: StateFile | None = None) -> None:
        """ConfigError where a state has no place to be kept in: a server's database has no folder beside it."""
        if self._evaluator is None or self._state_dir is not None or not needs_folder(url):
            return
        if stored is not None and stored.folder is not None:
            return
        if url.get_backend_name() == "sqlite":
            # A database in memory ends with this process, and so does the folder.
            self._temporary = tempfile.TemporaryDirectory(prefix="replaytree-state-")
            self._state_dir = self._temporary.name
        else:
            raise ConfigError(
                f"the evaluator has weights that are kept with the search, and beside {shown(url)} there is no folder; "
                f"name one that will be there when the search is resumed (--state-dir, state_dir=)"
            )

    def restore(self, tree: ReplayTree) -> None:
        """Load what the tree refers to. StateUnusable where it is not to be had, ConfigError where nothing takes it."""
        stored = tree.evaluator_state()
        if self._evaluator is None:
            if self._restart or stored is not None:
                raise ConfigError(_no_state(tree.name, has_file=stored is not None))
            return
        self.require_folder(tree.engine.url, stored=stored)
        if stored is None or self._restart:
            if not self._restart and tree.training_count:
                # An exported search comes without its file, and so does one whose evaluator had no state before.
                raise StateUnusable(_lost(tree, f"{tree.training_count} trainings are stored and no weights"))
            return
        if self._given is None:
            self._state_dir = stored.folder
        payload, stored = self._read(tree, stored)
        self._load(payload, tree)
        self._files = [stored]

    def begin(self, tree: ReplayTree) -> None:
        """At the beginning of a run, which drives the search: store a first state, remove what interruptions left."""
        if self._evaluator is None:
            return
        self._folder = tree.state_folder(self._state_dir)
        first = None
        if self._restart or not self._files:
            # Epochs count states only where leaders can be scored by one.
            counts = self._restart and rescoring(self._evaluator) is not None
            before = (tree.info().max_epochs or 0) if counts else 0
            count = tree.episode_count
            first = self._folder.write(self._packed(), suffix=self._suffix, episode_count=count, epochs_before=before)
        before_it = tree.begin_state(first, self._folder)
        now = first or self._files[-1]
        self._files = [now] if before_it is None else [before_it, now]
        self._restart = self._proven = False

    def timed(self, evaluations: Sequence[PathEvaluation]) -> list[PathEvaluation]:
        """The evaluations, in each of which `epochs` counts from the beginning of the search."""
        before = self.epochs_before
        return [e if e.epochs is None else replace(e, epochs=e.epochs + before) for e in evaluations]

    def written(self, tree: ReplayTree, *, episode_count: int) -> StateFile | None:
        """A file with the state as it is, for the record after which there are `episode_count` episodes."""
        if self._evaluator is None:
            return None
        if self._folder is None:
            self._folder = tree.state_folder(self._state_dir)
        payload = self._packed()
        if not self._proven:
            # Once a run is enough: what an evaluator cannot load is a matter of its code.
            self._prove(payload)
            self._proven = True
        file = self._folder.write(
            payload, suffix=self._suffix, episode_count=episode_count, epochs_before=self.epochs_before
        )
        self._files.append(file)
        return file

    def needs_rescoring(self, tree: ReplayTree) -> bool:
        """Whether the evaluator can score leaders once more, and its state has changed since it did so last."""
        return rescoring(self._evaluator) is not None and tree.needs_rescoring

    def rescore(self, tree: ReplayTree, *, apart: bool) -> bool:
        """Score the leaders once more, where the state has changed since that was done last; whether it was done.

        `apart`: turns measure on fewer images, so that these scores are compared with none of theirs, not even of the
        same state: they count as of a state of their own.
        """
        evaluator = rescoring(self._evaluator)
        if evaluator is None or not self.needs_rescoring(tree):
            return False
        paths = tree.leaders()
        # One that begins another is scored with it where the space is nested, and by itself where it is not.
        answers = rescores_of(evaluator, paths)
        scores: dict[Path, float] = {}
        for path, answer in zip(paths, answers, strict=True):
            for depth, accuracy in enumerate(answer.accuracies, start=1):
                if accuracy is not None:
                    scores.setdefault(path[:depth], accuracy)
        epochs = {answer.epochs for answer in answers if answer.epochs is not None}
        if len(epochs) > 1:
            raise EvaluationError(f"rescore returned evaluations of several states, with epochs {sorted(epochs)}")
        if not epochs:
            return False
        before = self.epochs_before + int(apart)
        tree.record_rescores(scores, epochs=epochs.pop() + before, epochs_before=before)
        self._files[-1] = replace(self._files[-1], epochs_before=before)
        return True

    def recorded(self, tree: ReplayTree) -> None:
        """The last file is referred to: those before the last two go."""
        while len(self._files) > KEPT:
            self._files.pop(0).remove(tree.engine.url)

    def _packed(self) -> bytes:
        assert self._evaluator is not None
        try:
            state = self._evaluator.state_dict()
        except Exception as error:  # a user's code may raise anything
            raise StorageError(
                f"{type(self._evaluator).__name__}.state_dict raised {reason(error)}; nothing of this turn was stored"
            ) from error
        if self._suffix == tensor_file.SUFFIX:
            return tensor_file.write(state)
        return pack(state, of="evaluator", prove=not self._proven)

    def _prove(self, payload: bytes) -> None:
        """StorageError where the evaluator cannot load its own state."""
        assert self._evaluator is not None
        try:
            self._evaluator.load_state_dict(_unpacked(payload))
        except Exception as error:  # a user's code may raise anything
            raise StorageError(
                f"{type(self._evaluator).__name__} cannot load its own state ({reason(error)}), so nothing of this "
                f"turn was stored; load_state_dict() must accept what state_dict() returns"
            ) from error

    def _read(self, tree: ReplayTree, stored: StateFile) -> tuple[bytes, StateFile]:
        """The contents of the file that the tree refers to, wherever it is now, and which file that is."""
        moved = replace(stored, folder=self._state_dir)
        for file in dict.fromkeys((moved, stored)):
            with suppress(StateUnusable):
                return read_state(file, tree.engine.url), file
        again = tree.evaluator_state()
        if again is not None and again != stored:
            # Another process has gone on with the search meanwhile.
            return self._read(tree, again)
        try:
            return read_state(moved, tree.engine.url), moved
        except StateUnusable as error:
            raise StateUnusable(_lost(tree, str(error))) from error

    def _load(self, payload: bytes, tree: ReplayTree) -> None:
        assert self._evaluator is not None
        try:
            self._evaluator.load_state_dict(_unpacked(payload))
        except CorruptTree as error:
            raise StateUnusable(_lost(tree, str(error).partition("; ")[0])) from error
        except Exception as error:  # the state of another evaluator may raise anything
            why = f"{type(self._evaluator).__name__}.load_state_dict raised {reason(error)}"
            raise StateUnusable(_lost(tree, why)) from error


def _unpacked(payload: bytes) -> dict[str, Any]:
    """The state that a file holds, in either form: kept weights were torch's own, a ZIP archive, before."""
    return unpack(payload, of="evaluator") if payload.startswith(b"PK") else tensor_file.read(payload)


def _lost(tree: ReplayTree, why: str) -> str:
    how = advice(tree.engine.url, "resume", tree.name, "--restart-weights")
    return (
        f"the weights of search {tree.name!r} cannot be loaded: {why}; bring back the files (they move together with "
        f"the database; --state-dir says where else they are), or go on with fresh weights: {how} (in Python: "
        f"restart_weights=True)"
    )


def _no_state(name: str, *, has_file: bool) -> str:
    if has_file:
        return (
            f"search {name!r} keeps the state of its evaluator, and the evaluator given has no load_state_dict; give "
            f"one of the same kind"
        )
    return f"search {name!r} has no weights that could be restarted: every training starts anew (--restart-weights)"
