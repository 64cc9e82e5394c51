import io
import pickle

import numpy as np
import pytest
import torch

from replaytree.errors import CorruptTree, StorageError
from replaytree.policy import STRATEGIES
from replaytree.policy.random_search import RandomStrategy
from replaytree.records import PathEvaluation
from replaytree.search.search import Search
from replaytree.search.state import pack, unpack
from replaytree.space import LabelSpace


def test_state_bytes_hold_tensors_and_plain_values_only():
    state = {"a": torch.arange(3), "b": [1, 2.5, "x", None], "c": {"d": 2**40}}
    unpacked = unpack(pack(state))
    assert torch.equal(unpacked.pop("a"), state.pop("a"))
    assert unpacked == state

    class Evil:
        def __reduce__(self):
            return print, ("code of a file was run",)

    for unreadable in (Evil(), np.float64(0.5), lambda: None):
        with pytest.raises(StorageError, match=r"state cannot be read back \(.*\), so nothing of this turn was stored"):
            pack({"evil": unreadable})
    whole = pack(state)
    no_dictionary = io.BytesIO()
    torch.save([1, 2], no_dictionary)
    # Opcodes that raise what no reader expects: POP of nothing, and a persistent id that is none of torch's.
    torn = [whole.replace(b"}q\x00", changed, 1) for changed in (b"00q\x00", b"K\x01Q0")]
    for payload in (b"", b"no state", pickle.dumps(Evil()), whole[:-100], no_dictionary.getvalue(), *torn):
        with pytest.raises(CorruptTree, match=r"cannot be read .*import the search from an export"):
            unpack(payload)


class Keeper(RandomStrategy):
    """Keeps one value more in its state."""

    kept: object = 0.5

    def state_dict(self):
        return super().state_dict() | {"kept": self.kept}


class Clumsy(RandomStrategy):
    def load_state_dict(self, state):
        raise KeyError("memory")


@pytest.mark.parametrize(
    ("strategy", "kept", "message"),
    [
        (
            Keeper,
            np.float64(0.5),
            r"state cannot be read back \(it holds a numpy\.\S*scalar\).* state_dict\(\) may hold",
        ),
        (Clumsy, 0.5, r"Clumsy cannot load its own state \(KeyError: 'memory'\), so nothing of this turn was stored"),
    ],
)
def test_no_state_is_stored_that_cannot_be_loaded(strategy, kept, message, tmp_path, monkeypatch):
    class Half:
        def evaluate(self, paths, *, budget, seed):
            return [PathEvaluation([0.5] * len(path)) for path in paths]

    own = {
        "space": LabelSpace(["a", "b"], max_layers=2),
        "evaluator": Half(),
        "storage": f"sqlite:///{tmp_path}/tree.db",
    }
    monkeypatch.setitem(STRATEGIES, "random", Keeper)
    search = Search(name="own", strategy="random", **own).run(episodes=2)
    monkeypatch.setitem(STRATEGIES, "random", strategy)
    monkeypatch.setattr(Keeper, "kept", kept)
    broken = search if strategy is Keeper else Search(name="clumsy", strategy="random", **own)
    before = broken.tree.episode_count
    with pytest.raises(StorageError, match=message):
        broken.run(episodes=1)
    assert broken.tree.episode_count == before
    monkeypatch.undo()
    assert Search.resume("own", **own).run(episodes=1).tree.episode_count == 3
