"""What is done to the controller's scores, alike in drawing and in scoring, and the prior of skips."""

import math

import pytest
import torch

from replaytree.config import SearchConfig
from replaytree.config.controller import ControllerOptions
from replaytree.errors import ConfigError
from replaytree.policy.controller import Controller, optimizer_of
from replaytree.policy.scores import Shaping, inputs_scored, one_scored, skip_divergence
from replaytree.policy.vocabulary import Step, Vocabulary
from replaytree.records import Decision
from replaytree.space import LabelSpace
from replaytree.space.catalogue import named_space

OPERATION = Decision("operation", ("sep3", "sep5", "avg3", "max3", "identity"))
ENAS = ControllerOptions(
    tanh_constant=1.1, op_tanh_reduce=2.5, separable_bias=10.0, cell_bias=0.25, init_range=0.1, softmax_temperature=5.0
)


class Cells:
    """Nodes of normal and reduction cells in turn, as in enas-micro: an input and an operation."""

    max_layers = 4
    nested = False

    def decisions(self, depth):
        own = tuple(range(2 - depth % 2, depth, 2))
        return Decision("input", ("0", "-1", *map(str, own)), "input", (0, -1, *own)), OPERATION

    def legal(self, prefix, chosen=()):
        if len(prefix) == self.max_layers:
            return (False,) * len(self.decisions(self.max_layers)[0].options)
        return (True,) * len(self.decisions(len(prefix) + 1)[len(chosen)].options)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def step(depth, decision=OPERATION):
    return Step(depth, 1, decision, True)


def enas_macro(max_layers=5):
    return named_space("enas-macro", input_shape=(1, 8, 8), num_classes=10, max_layers=max_layers, channels=4)


def test_scores_are_divided_then_bounded_and_the_fixed_bias_is_added_behind():
    shaping = Shaping(ENAS, [step(1), step(2)], Cells())
    scores = torch.tensor([[[10.0, 0.0, 5.0, -5.0, 2.5]] * 2])
    bounded = [0.44 * math.tanh(score / 5.0) for score in (10.0, 0.0, 5.0, -5.0, 2.5)]
    normal, reduction = shaping(scores, [step(1), step(2)])[0].tolist()
    # 1.1 / 2.5 = 0.44. Depth 1 is of the normal cell, depth 2 of the reduction cell.
    assert reduction == pytest.approx(bounded, abs=1e-6)
    assert normal == pytest.approx(
        [bounded[0] + 0.25, bounded[1] + 0.25, bounded[2] - 0.25, bounded[3] - 0.25, bounded[4] - 0.25], abs=1e-6
    )
    pointing = Decision("input", ("0", "1"), "input", (0, 1))
    [pointed] = shaping(torch.tensor([[5.0, -2.5]]), [step(3, pointing)]).tolist()
    assert pointed == pytest.approx([1.1 * math.tanh(1.0), 1.1 * math.tanh(-0.5)], abs=1e-6)


def test_at_their_defaults_options_leave_scores_as_they_are():
    scores = torch.randn(3, 5, generator=generator())
    assert Shaping(ControllerOptions(), [step(1)], Cells())(scores, [step(1)]) is scores


def test_without_a_bias_separable_convolutions_start_as_the_rest():
    assert Shaping(ControllerOptions(), [step(1)], Cells()).starting_bias("operation") is None


def test_separable_convolutions_start_with_their_bias_and_the_rest_of_that_head_without():
    controller = Controller(Cells(), ENAS, generator=generator())
    assert controller.logits["operation"].bias.tolist() == [10.0, 10.0, 0.0, 0.0, 0.0]
    others = [p for name, p in controller.named_parameters() if name != "logits.operation.bias"]
    largest = max(float(p.detach().abs().max()) for p in others)
    assert 0.099 < largest <= 0.1
    # The bias is inside the tanh, as released: 0.44 (tanh 2 - tanh 0) + 0.5 in normal cells is 2.5 times as probable.
    plain = ControllerOptions(tanh_constant=1.1, op_tanh_reduce=2.5, separable_bias=10.0, init_range=1e-9)
    first = Controller(Cells(), plain, generator=generator()).score([(0,), (2,)]).log_probs_BT[:, 0]
    assert float((first[0] - first[1]).detach()) == pytest.approx(0.44 * math.tanh(10.0), abs=1e-5)


@pytest.mark.parametrize("options", [ControllerOptions(), ENAS, ControllerOptions(softmax_temperature=0.05)])
def test_what_was_sampled_has_the_same_log_probability_when_it_is_scored(options):
    spaces = [Cells()] if options is ENAS else [Cells(), enas_macro()]
    for space in spaces:
        controller = Controller(space, options, generator=generator())
        drawn = controller.sample([()] * 40, depth_bound=4, generator=generator(1))
        scored = controller.score([path for path, _ in drawn]).log_probs_BT.detach()
        sampled = torch.tensor([shares for _, shares in drawn]).log()
        assert float((scored - sampled).abs().max()) <= 2e-6


def test_each_option_changes_what_is_sampled_and_what_is_scored():
    plain = Controller(Cells(), ControllerOptions(init_range=0.5), generator=generator())
    path = (7, 8)
    for name, value in (
        ("softmax_temperature", 3.0), ("tanh_constant", 0.5), ("separable_bias", 3.0), ("cell_bias", 1.0),
    ):  # fmt: skip
        own = Controller(Cells(), ControllerOptions(init_range=0.5, **{name: value}), generator=generator())
        scored = own.score([path]).log_probs_BT[0, 0].detach().exp()
        assert float((scored - plain.score([path]).log_probs_BT[0, 0].detach().exp()).abs()) > 1e-3, name
        [(_, [share, _])] = own.sample([()], depth_bound=2, generator=generator(5))
        [(_, [before, _])] = plain.sample([()], depth_bound=2, generator=generator(5))
        assert abs(share - before) > 1e-3, name


def test_the_next_probabilities_are_shaped_too():
    space = LabelSpace(["sep3", "avg3"], max_layers=2)
    own = ControllerOptions(init_range=1e-9, separable_bias=4.0, softmax_temperature=2.0, tanh_constant=0.5)
    [first, _] = Controller(space, own, generator=generator()).next_probabilities((0,))
    # Of two options with scores 0.5 tanh(4 / 2) and 0.
    assert first == pytest.approx(1.0 / (1.0 + math.exp(-0.5 * math.tanh(2.0))), abs=1e-6)


def test_an_untrained_controller_with_no_weights_has_the_entropy_of_all_choices():
    # Layer 1: 6 operations. Layer 5: 6 operations, and 4 skips of which each is taken or not.
    controller = Controller(enas_macro(), ControllerOptions(tanh_constant=1.5), generator=generator())
    with torch.no_grad():
        for weights in controller.logits.parameters():
            weights.zero_()
        for weights in controller.pointers.parameters():
            weights.zero_()
        scored = controller.score([(0, 0, 0, 0, 0)])
    expected = [math.log(6) + skips * math.log(2) for skips in range(5)]
    assert scored.entropy_BT[0].tolist() == pytest.approx(expected, abs=1e-5)
    # Uniform: p is the same for every option, so -p log p of one of 6 is a sixth of the entropy; of two, half.
    drawn = [math.log(6) / 6 + skips * math.log(2) / 2 for skips in range(5)]
    assert scored.drawn_entropy_BT[0].tolist() == pytest.approx(drawn, abs=1e-5)


def test_the_bias_of_separable_convolutions_is_the_exception():
    # Two of five options with score 0.44 tanh(10), three with 0.
    plain = ControllerOptions(tanh_constant=1.1, op_tanh_reduce=2.5, separable_bias=10.0, init_range=1e-9)
    scored = Controller(Cells(), plain, generator=generator()).score([(0,)])
    weights = [math.exp(0.44 * math.tanh(10.0))] * 2 + [1.0] * 3
    shares = [w / sum(weights) for w in weights]
    expected = math.log(2) - sum(p * math.log(p) for p in shares)
    assert float(scored.entropy_BT[0, 0].detach()) == pytest.approx(expected, abs=1e-5)


def test_minus_p_log_p_of_what_was_drawn():
    scores = torch.tensor([[[math.log(3.0), 0.0, 0.0]]])
    legal = torch.tensor([[[True, True, False]]])
    scored = one_scored(scores, torch.tensor([[0]]), legal)
    assert float(scored.drawn_entropy) == pytest.approx(-0.75 * math.log(0.75))
    # Of skips each by itself: the first taken with 0.75, the second left with 0.5.
    skips = inputs_scored(torch.tensor([[[math.log(3.0), 0.0]]]), torch.tensor([[0b01]]), torch.ones(1, 1, 2).bool())
    assert float(skips.drawn_entropy) == pytest.approx(-0.75 * math.log(0.75) - 0.5 * math.log(0.5))
    assert float(skips.log_prob) == pytest.approx(math.log(0.75 * 0.5))


@pytest.mark.parametrize(
    ("probability", "divergence"), [(0.4, 0.0), (0.5, 0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6))]
)
def test_the_prior_of_skips(probability, divergence):
    score = torch.tensor([[[math.log(probability / (1 - probability))]]])
    found = float(skip_divergence(score, torch.ones(1, 1, 1).bool(), 0.4))
    assert found == pytest.approx(divergence, abs=1e-7)
    if probability == 0.5:
        assert found == pytest.approx(0.0204, abs=5e-5)


def test_the_order_of_the_prior_and_its_sign():
    # p = 0.8 against 0.4 is farther than 0.2 against 0.4; with the pair turned it would be the other way round.
    far, near = (
        float(skip_divergence(torch.tensor([[[math.log(p / (1 - p))]]]), torch.ones(1, 1, 1).bool(), 0.4))
        for p in (0.8, 0.2)
    )
    assert far == pytest.approx(0.8 * math.log(2.0) + 0.2 * math.log(1 / 3), abs=1e-6)
    assert near == pytest.approx(0.2 * math.log(0.5) + 0.8 * math.log(4 / 3), abs=1e-6)
    score = torch.tensor([[[2.0]]], requires_grad=True)
    skip_divergence(score, torch.ones(1, 1, 1).bool(), 0.4).backward()
    assert float(score.grad) > 0.0, "descent lowers a probability that is above the prior"


def test_the_divergence_of_a_path_is_the_mean_over_its_layers_with_skips():
    controller = Controller(enas_macro(), ControllerOptions(), generator=generator())
    with torch.no_grad():
        for weights in controller.pointers.parameters():
            weights.zero_()
        scored = controller.score([(0, 0, 0, 0, 0), (0, 0, 0), (0,)], skip_target=0.4)
    one = 0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6)
    # Layers 2 to 5 are offered 1, 2, 3 and 4 maps; of three layers, 1 and 2; the first is offered none.
    assert scored.skip_kl_B.tolist() == pytest.approx([2.5 * one, 1.5 * one, 0.0], abs=1e-6)
    assert not controller.score([(0, 0)]).skip_kl_B.any()


def test_the_optimiser_is_as_asked():
    controller = Controller(Cells(), ENAS, generator=generator())
    [group] = optimizer_of(controller, ControllerOptions(adam_beta=0.0, adam_epsilon=1e-3)).param_groups
    assert (group["betas"], group["eps"], group["lr"]) == ((0.0, 0.999), 1e-3, 5e-3)
    [group] = optimizer_of(controller, ControllerOptions()).param_groups
    assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)


def test_options_that_nothing_would_come_of():
    space = LabelSpace(["a", "b"], max_layers=2)
    steps = Vocabulary(space).steps(2)
    with pytest.raises(ConfigError, match=r"separable_bias is 10, and no layer .* 'sep'; leave out --separable-bias"):
        Shaping(ControllerOptions(separable_bias=10.0), steps, space)
    macro = enas_macro()
    with pytest.raises(ConfigError, match=r"cell_bias is 0\.25, and the space has no normal and reduction cells"):
        Shaping(ControllerOptions(cell_bias=0.25), Vocabulary(macro).steps(5), macro)
    assert SearchConfig(strategy="replay").strategy_options.gradient.controller == ControllerOptions()


def test_a_space_that_does_not_say_so_has_no_cells(monkeypatch):
    monkeypatch.delattr(Cells, "nested")
    with pytest.raises(ConfigError, match="the space has no normal and reduction cells"):
        Shaping(ControllerOptions(cell_bias=0.25), [step(1)], Cells())
