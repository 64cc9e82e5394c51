"""The supernet of recurrent cells: which weights paths share, and that its models are those of the space."""

import pytest
import torch
from torch.nn import functional

from replaytree.networks.reading import Reading
from replaytree.networks.recurrent import RecurrentSupernet
from replaytree.space.catalogue import named_space
from replaytree.space.language_model import LanguageModel
from replaytree.training.capture import capturable

CPU = torch.device("cpu")
WORDS = 11


def space(name="enas-rnn", *, layers=3, **options):
    return named_space(name, input_shape=(1, 1, 1), num_classes=WORDS, max_layers=layers, hidden=6, **options)


def supernet(own, *, seed=0, **options):
    return RecurrentSupernet(own, WORDS, seed=seed, device=CPU, **options)


def text(length=5, columns=2):
    return torch.randint(WORDS, (length, columns), generator=torch.Generator().manual_seed(1))


def parameters(network):
    return dict(network.reading.network.named_parameters())


def test_a_pair_of_nodes_has_weights_of_its_own_whatever_the_activation():
    own = space()
    shared = supernet(own)
    one, other, third = (
        parameters(shared.network([own.parse(path)]))
        for path in ("tanh relu@1 relu@1", "relu sigmoid@1 identity@1", "tanh relu@1 relu@2")
    )
    assert set(one) == {"embedding.weight", "node1.weight0", "node1.weight1", "node2_in1.weight0", "node3_in1.weight0"}
    assert all(one[name].data_ptr() == other[name].data_ptr() for name in one)
    assert set(third) - set(one) == {"node3_in2.weight0"}
    # 4 H^2 of the first node, 2 H^2 of each of three pairs, and the embedding; each with a momentum.
    assert shared.nbytes == 2 * 4 * (4 * 36 + 3 * 2 * 36 + WORDS * 6)


def test_the_model_of_a_path_is_that_of_the_space():
    own = space("nas-rnn", layers=4, base=2, bias=True, embedding=4)
    path = own.parse("add-tanh mult-relu mult-sigmoid add-relu@0+c@1")
    network = supernet(own).network([path])
    model = own.build(path)
    assert isinstance(model, LanguageModel)
    model.load_state_dict(network.reading.network.state_dict())
    logits, state = model(text(), model.initial_state(2))
    assert torch.equal(network(text()), logits.flatten(0, 1)[None])
    assert torch.equal(network.state, state)
    assert network.prefixes == (path,)


def test_first_values_do_not_depend_on_the_order_and_biases_are_their_own():
    own = space("plain-rnn", layers=1)
    one, other = supernet(own), supernet(own)
    first = parameters(one.network([own.parse("lstm")]))
    other.network([own.parse("rnn")])
    again = parameters(other.network([own.parse("lstm")]))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["forget_gate.bias"].unique().tolist() == [1.0]
    assert first["decoder_bias"].unique().tolist() == [0.0]
    assert not torch.equal(parameters(supernet(own, seed=1).network([own.parse("lstm")]))["embedding.weight"],
                           first["embedding.weight"])  # fmt: skip


def test_a_step_changes_the_weights_of_its_path_alone():
    own = space()
    shared = supernet(own)
    whole, part = own.parse("tanh relu@1 relu@2"), own.parse("tanh relu@1")
    shared.network([whole])
    before = {name: weight.clone() for name, weight in shared.state_dict()["weights"].items()}
    network = shared.network([part]).train()
    functional.cross_entropy(network(text())[0], text().flatten()).backward()
    with torch.no_grad():
        for weight, _ in network.weights_and_momenta:
            weight.sub_(weight.grad)
    changed = {name for name, weight in shared.state_dict()["weights"].items() if not torch.equal(weight, before[name])}
    assert {name.split(" ")[0] for name in changed} == {
        "embedding.weight", "node1.weight0", "node1.weight1", "node2_in1.weight0",
    }  # fmt: skip


def test_a_state_comes_back_to_the_bit():
    own = space()
    shared, other = supernet(own), supernet(own, seed=1)
    path = own.parse("tanh relu@1")
    logits = shared.network([path])(text())
    other.network([path])
    other.load_state_dict(shared.state_dict())
    assert torch.equal(other.network([path])(text()), logits)


def test_scores_leave_no_weights_behind():
    own = space()
    shared = supernet(own)
    shared.network([own.parse("tanh")])
    before = set(shared.state_dict()["weights"])
    with shared.unchanged():
        network = shared.network([own.parse("tanh relu@1")])
        assert len(shared.state_dict()["weights"]) == len(before) + 1
    assert set(shared.state_dict()["weights"]) == before
    # The network is made anew, and of new parts.
    assert shared.network([own.parse("tanh relu@1")]) is not network


def test_a_path_reads_on_where_another_stopped():
    own = space("nas-rnn", layers=4, base=2)
    shared = supernet(own)
    whole, part = (own.parse(path) for path in ("add-tanh mult-relu mult-sigmoid add-relu@0+c@1", "add-tanh mult-relu"))
    long, short = shared.network([whole]), shared.network([part])
    long(text())
    short.go_on(long.state)
    assert torch.equal(short.state, long.state[:1])
    short(text())
    long.go_on(short.state)
    assert torch.equal(long.state, torch.cat([short.state, torch.zeros(1, 2, 6)]))
    long.go_on(None)
    assert long.state is None


def test_dropouts_act_while_training():
    own = space()
    network = supernet(own, dropouts={"output_dropout": 0.5}).network([own.parse("tanh relu@1")])
    still = network.eval()(text())
    network.go_on(None)
    assert not torch.equal(network.train()(text()), still)


def test_no_step_that_carries_a_state_is_captured():
    own = space()
    assert capturable(own.build(own.parse("tanh")))
    assert not capturable(Reading(own.build(own.parse("tanh"))))
    assert not capturable(supernet(own).network([own.parse("tanh")]))


def test_networks_are_kept():
    own = space()
    shared = supernet(own)
    path = own.parse("tanh")
    assert shared.network([path]) is shared.network([path])
    with pytest.raises(ValueError, match="too many values to unpack"):
        shared.network([path, path])
