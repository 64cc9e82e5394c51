import pytest
import torch
from torch import nn

from replaytree.networks.heads import Heads

# Two of one shape, one without a hidden layer, three grids, widths that occur once and twice.
SHAPES = [(6, 8, 8), (6, 8, 8), (3, 4, 4), (12, 2, 2), (6, 1, 3), (5, 5, 7)]
GRIDS = [(2, 2), (2, 2), (2, 2), (2, 2), (1, 2), (4, 4)]
UNITS = [12, 12, 0, 24, 12, 10]


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return Heads(SHAPES, GRIDS, UNITS, 5, passes_on=[1.0] * 6)


@pytest.fixture
def features():
    torch.manual_seed(1)
    return [torch.randn(7, *shape).contiguous(memory_format=torch.channels_last).requires_grad_() for shape in SHAPES]


def logits(heads, features, places=range(6)):
    return heads({place: heads.read(place, features[place])[1] for place in places})


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_each_head_is_what_modules_of_its_own_would_be(heads, features, lone_head, mode):
    for alike in heads.kinds:
        if alike.hidden is not None:
            nn.init.normal_(alike.norm.weight), nn.init.normal_(alike.norm.bias)
    logits(heads, features)
    getattr(heads, mode)()
    alone = [lone_head(heads, SHAPES, GRIDS, UNITS, place) for place in range(6)]
    together = logits(heads, features)
    for place, head in enumerate(alone):
        torch.testing.assert_close(together[place], head(features[place]))
    weights = torch.randn_like(together)
    gradients = torch.autograd.grad((together * weights).sum(), features)
    for place, head in enumerate(alone):
        [own] = torch.autograd.grad((head(features[place]) * weights[place]).sum(), features[place])
        torch.testing.assert_close(gradients[place], own)


def test_a_head_by_hand():
    [head] = (heads := Heads([(1, 4, 4)], [(2, 2)], [2], 3, passes_on=[1.0]).eval()).kinds
    features = torch.arange(16.0).view(1, 1, 4, 4)
    with torch.no_grad():
        head.hidden.copy_(torch.tensor([[[1.0, -1.0]]]))
        head.norm.running_mean.fill_(6.5)
        head.norm.running_var.fill_(4.0 - head.norm.eps)
    same, read = heads.read(0, features)
    assert same is features
    # Of 0, 1, 4, 5, and so on: a cell to the right is 2 more, one below 8.
    assert read.tolist() == [[2.5], [4.5], [10.5], [12.5]]
    # Batch norm makes (x - 6.5) / 2 of them; what is positive passes, and is averaged over the cells.
    average = torch.tensor([[(2.0 + 3.0) / 4, 0.0]])
    torch.testing.assert_close(heads({0: read})[0], average @ head.weight[0] + head.bias[0])


def test_a_head_passes_on_a_part_of_its_gradient_and_keeps_its_own(heads, features):
    part = Heads(SHAPES, GRIDS, UNITS, 5, passes_on=[0.5**place for place in range(6)])
    part.load_state_dict(heads.state_dict())
    for some in (heads, part):
        logits(some, features).square().sum().backward()
    whole, halved = (dict(some.named_parameters()) for some in (heads, part))
    for name, parameter in whole.items():
        torch.testing.assert_close(parameter.grad, halved[name].grad)
    for place, own in enumerate(features):
        total, own.grad = own.grad, None
        logits(heads, features)[place].square().sum().backward()
        torch.testing.assert_close(total, (1.0 + 0.5**place) * own.grad)


@pytest.mark.parametrize("places", [(0, 3, 4), (2,), (5, 1), (4, 2)])
def test_heads_that_are_not_asked_for_change_nothing(heads, features, places):
    every = logits(heads, features)
    torch.testing.assert_close(logits(heads, features, places), every[list(places)])
    logits(heads, features, places).sum().backward()
    assert [own.grad is not None for own in features] == [place in places for place in range(6)]


def test_a_head_that_fails_spoils_no_other(heads, features):
    good = logits(heads, features)
    with torch.no_grad():
        features[1].fill_(torch.nan)
    bad = logits(heads, features)
    assert bad[1].isnan().all()
    others = [0, 2, 3, 4, 5]
    torch.testing.assert_close(bad[others], good[others])
    bad[others].sum().backward()
    assert all(features[place].grad.isfinite().all() for place in others)


@pytest.mark.parametrize("places", [(0, 3, 4), (1, 5)])
def test_norms_of_some_heads_learn_their_own_averages_alone(heads, features, places):
    other = Heads(SHAPES, GRIDS, UNITS, 5, passes_on=[1.0] * 6)
    other.load_state_dict(heads.state_dict())
    fresh = {name: value.clone() for name, value in heads.state_dict().items()}
    logits(heads, features)
    logits(other, features, places)
    heads.eval(), other.eval()
    torch.testing.assert_close(logits(other, features, places), logits(heads, features)[list(places)])
    # Of the two heads of the first kind one was asked for, and the columns of the other stand where they stood.
    first, own = other.state_dict()["kinds.0.norm.running_mean"], UNITS[0]
    untouched = slice(own, 2 * own) if 0 in places else slice(0, own)
    assert torch.equal(first[untouched], fresh["kinds.0.norm.running_mean"][untouched])
    assert not torch.equal(first, fresh["kinds.0.norm.running_mean"])


def test_they_run_in_bfloat16(features):
    heads = Heads(SHAPES, GRIDS, UNITS, 5, passes_on=[0.5] * 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = logits(heads, [own.bfloat16() for own in features])
    low.float().sum().backward()
    gradients = [own.grad.clone() for own in features]
    for own in features:
        own.grad = None
    exact = logits(heads, features)
    exact.sum().backward()
    torch.testing.assert_close(low.float(), exact, atol=0.05, rtol=0.05)
    for own, gradient in zip(features, gradients, strict=True):
        torch.testing.assert_close(gradient, own.grad, atol=0.05, rtol=0.1)
