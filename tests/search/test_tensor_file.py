"""States as safetensors files, which other readers take, too."""

import math

import pytest
import torch
from safetensors.torch import load

from replaytree.errors import CorruptTree
from replaytree.search.tensor_file import read, write

ONE = torch.arange(6.0).view(2, 3)
STATE = {
    "format": 1,
    "paths": [[0, 2**60], []],
    "accuracies": [0.1 + 0.2, math.inf],
    "texts": ["a", None, True],
    "tensors": [{"first": {"weight": ONE}}, {"first": {"weight": ONE}, "second": {}, "count": torch.tensor(7)}],
}


def test_what_is_written_is_read_and_a_tensor_at_two_places_is_one():
    found = read(write(STATE))
    one, other = found.pop("tensors")
    assert found == {name: value for name, value in STATE.items() if name != "tensors"}
    assert torch.equal(one["first"]["weight"], ONE)
    assert other["first"]["weight"] is one["first"]["weight"]
    assert (other["second"], other["count"].dtype, int(other["count"])) == ({}, torch.int64, 7)
    assert write(read(write(STATE))) == write(STATE)


def test_any_reader_of_safetensors_takes_the_tensors_by_their_places():
    tensors = load(write(STATE))
    assert tensors.keys() == {"tensors.0.first.weight", "tensors.1.count"}
    assert torch.equal(tensors["tensors.0.first.weight"], ONE)


def test_maps_whose_channels_lie_together_come_back_with_the_same_numbers():
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert torch.equal(read(write({"w": weight}))["w"], weight)


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, 3j, {"tensor of this name": 1}])
def test_what_such_a_file_does_not_hold_is_refused(value):
    with pytest.raises(TypeError, match=r"inner.0 is a \w+, which no safetensors file holds"):
        write({"inner": [value]})


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two tensors would be called a\.b"):
        write({"a.b": ONE, "a": {"b": torch.zeros(2)}})


def test_a_damaged_file_is_told():
    whole = write(STATE)
    foreign = write({"a": ONE}).replace(b"replaytree", b"replaytrie")
    for payload in (b"", b"no state", whole[:-1], whole[:40], foreign):
        with pytest.raises(CorruptTree, match="the stored weights cannot be read"):
            read(payload)
