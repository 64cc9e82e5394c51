import pickle

import pytest
import torch

from replaytree.errors import CorruptTree
from replaytree.state import pack, unpack


def test_state_bytes_hold_tensors_and_plain_values_only():
    state = {"a": torch.arange(3), "b": [1, 2.5, "x", None], "c": {"d": 2**40}}
    unpacked = unpack(pack(state))
    assert torch.equal(unpacked.pop("a"), state.pop("a"))
    assert unpacked == state

    class Evil:
        def __reduce__(self):
            return print, ("code of a file was run",)

    with pytest.raises(CorruptTree, match=r"state of the strategy cannot be read .*; import the search from an export"):
        unpack(pack({"evil": Evil()}))
    for payload in (b"", b"no state", pickle.dumps(Evil()), pack(state)[:-100]):
        with pytest.raises(CorruptTree, match="cannot be read"):
            unpack(payload)
