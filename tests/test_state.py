import io
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
    whole = pack(state)
    no_dictionary = io.BytesIO()
    torch.save([1, 2], no_dictionary)
    # Opcodes that raise what no reader expects: POP of nothing, and a persistent id that is none of torch's.
    torn = [whole.replace(b"}q\x00", changed, 1) for changed in (b"00q\x00", b"K\x01Q0")]
    for payload in (b"", b"no state", pickle.dumps(Evil()), whole[:-100], no_dictionary.getvalue(), *torn):
        with pytest.raises(CorruptTree, match="cannot be read"):
            unpack(payload)
