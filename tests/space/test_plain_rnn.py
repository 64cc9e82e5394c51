"""Plain recurrent cells are torch's own."""

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space import DecisionSpace
from replaytree.space.plain_rnn import PlainRnn
from replaytree.space.size import Size, size_of


def space(max_layers=1, **options):
    return DecisionSpace(PlainRnn(input_shape=(1, 1, 1), num_classes=11, max_layers=max_layers, **options))


def model(path, **options):
    torch.manual_seed(0)
    return space(**options).build(space(**options).parse(path))


def put(module, ours, gates):
    """Our matrices and biases as torch's."""
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.cat([ours.get_parameter(f"{gate}.weight0") for gate in gates]))
        module.weight_hh_l0.copy_(torch.cat([ours.get_parameter(f"{gate}.weight1") for gate in gates]))
        module.bias_ih_l0.copy_(torch.cat([ours.get_parameter(f"{gate}.bias") for gate in gates]))
        module.bias_hh_l0.zero_()


@pytest.mark.parametrize(
    ("path", "kind", "gates"),
    [("rnn", nn.RNN, ["cell"]), ("lstm", nn.LSTM, ["input_gate", "forget_gate", "candidate", "output_gate"])],
)
def test_a_plain_cell_is_torchs_own(path, kind, gates):
    ours = model(path, hidden=6, embedding=4)
    theirs = kind(4, 6)
    put(theirs, ours, gates)
    words = torch.randint(11, (7, 3), generator=torch.Generator().manual_seed(1))
    outputs, state = ours.outputs(words, ours.initial_state(3))
    expected, last = theirs(ours.embedding(words))
    assert torch.allclose(outputs, expected, atol=1e-6)
    assert torch.allclose(state, torch.cat(last) if path == "lstm" else last, atol=1e-6)


def test_the_gate_that_forgets_is_open_at_first():
    ours = model("lstm", hidden=6)
    assert [ours.get_parameter(f"{gate}.bias").unique().tolist() for gate in ("forget_gate", "input_gate")] == [
        [1.0], [0.0],
    ]  # fmt: skip
    assert model("lstm", hidden=6, bias=False).get_submodule("forget_gate").bias is None


def test_parameters_by_hand():
    # The embedding and the decoder's bias, then 4 H (E + H + 1) or a quarter of that.
    rest = 11 * 4 + 11 + 6 * 4
    wide = space(hidden=6, embedding=4)
    assert [wide.cost(wide.parse(name))[0] for name in ("rnn", "lstm")] == [rest + 66, rest + 264]


def test_a_path_ends_behind_its_cell():
    deep = space(6)
    assert size_of(deep) == Size(2, is_exact=True)
    with pytest.raises(SpaceError, match="layer 2 is illegal there: the path has ended before it"):
        deep.parse("rnn lstm")
    with pytest.raises(SpaceError, match="layer 1 is 'gru'; cells of plain-rnn are rnn, lstm"):
        deep.parse("gru")
