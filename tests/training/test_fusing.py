import logging
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from replaytree.data import load_data
from replaytree.networks.heads import Heads
from replaytree.networks.trie import PrefixNetwork
from replaytree.space import LayerSpace, xu24
from replaytree.space.layers.modules.residual import ResidualModule
from replaytree.space.layers.modules.skip import Skip
from replaytree.training import fusing, loop, step
from replaytree.training.fusing import Fusing, can_fuse, norm_relu, norms_relu, suits
from replaytree.training.loop import Training
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.step import EAGER_STEPS, Step

ONE = torch.device("cuda:1")
FLOAT32 = Precision(torch.float32)


@pytest.fixture
def calls(monkeypatch):
    """Every call of the kernels, which torch computes here: channels and what; or a grid."""
    found = []

    def computed(norm, x, added=None, *, relu):
        found.append((norm.num_features, "added" if added is not None else "relu" if relu else "norm"))
        plain = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=True)
        y = plain if added is None else plain + added
        return torch.relu(y) if relu else y

    def tapped(x, grid):
        found.append(grid)
        return x.view_as(x), functional.adaptive_avg_pool2d(x, grid)

    monkeypatch.setattr(fusing, "DEVICES", ("cpu",))
    monkeypatch.setattr(fusing, "_fused", computed)

    def summed(norm, x, other, y):
        found.append((norm.num_features, "norms"))
        return torch.relu(nn.BatchNorm2d.forward(norm, x) + nn.BatchNorm2d.forward(other, y))

    monkeypatch.setattr(fusing, "_fused_sum", summed)

    def windows(x, kernel, stride, padding, maximum):
        found.append((kernel, stride, padding, maximum))
        own = functional.max_pool2d if maximum else partial(functional.avg_pool2d, count_include_pad=False)
        return own(x, kernel, stride, padding)

    monkeypatch.setattr(fusing, "_windows", windows)
    monkeypatch.setattr(fusing, "_tap", tapped)
    return found


def maps(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)


def test_pairs_and_ends_of_blocks_are_fused_and_other_norms_by_themselves(calls):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ReLU6(), nn.BatchNorm2d(4), nn.ReLU6()),
        ResidualModule(4, 4, stride=1, projects=False),
        ResidualModule(4, 5, stride=2, projects=True),
        nn.ReLU(),
        nn.BatchNorm2d(5),
        Skip(nn.BatchNorm2d(5), nn.ReLU()),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
    )
    images = maps(2, 3, 8, 8)
    plain = network(images)
    assert not calls
    names = list(network.state_dict())
    with Fusing(network).within():
        torch.testing.assert_close(network(images), plain, rtol=0, atol=0)
        assert list(network.state_dict()) == names
    blocks = [(4, "relu"), (4, "added"), (5, "relu"), (5, "norms")]
    assert calls == [(4, "relu"), (4, "norm"), *blocks, (5, "norm"), (5, "norm"), (5, "relu"), (5, "relu")]
    network(images)
    assert len(calls) == 10


def test_forward_passes_are_as_they_were_after_an_error():
    network = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    with pytest.raises(ValueError, match="expected 4D"), Fusing(network).within():
        network(torch.zeros(2, 4))
    assert "forward" not in vars(network)


def test_whoever_listens_to_a_module_still_hears_of_it(calls):
    heard = []
    pair, block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), ResidualModule(4, 4, stride=1, projects=False)
    pair[1].register_forward_hook(lambda *_: heard.append("relu"))
    block.branch[4].register_forward_pre_hook(lambda *_: heard.append("norm"))
    network = nn.Sequential(pair, block)
    with Fusing(network).within():
        network(maps(2, 4, 6, 6))
    assert heard == ["relu", "norm"]
    # The pair within the branch has no listener.
    assert calls == [(4, "norm"), (4, "relu"), (4, "norm")]


@pytest.mark.parametrize("listen", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_whoever_listens_to_a_gradient_still_hears_of_it(calls, listen):
    pair, heard = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), []
    getattr(pair[1], listen)(lambda *_: heard.append("relu"))
    with Fusing(pair).within():
        pair(maps(2, 4, 6, 6)).sum().backward()
    assert heard == ["relu"]
    assert calls == [(4, "norm")]


def test_the_compiler_is_given_modules_as_they_are(monkeypatch):
    found, real = [], loop.Step
    monkeypatch.setattr(loop, "Step", lambda *given, fuse, **named: found.append(fuse) or real(*given, **named))
    monkeypatch.setattr(loop, "compile_network", lambda network: None)
    data = load_data("digits", train_limit=100)
    space = LayerSpace(xu24(0.125), input_shape=(1, 8, 8), num_classes=10, max_layers=1)
    for fuse, compiled in ((True, False), (True, True), (False, False)):
        recipe = Recipe(fuse=fuse, compile=compiled)
        Training(PrefixNetwork(space, [(0,)], 10), data, epochs=1, recipe=recipe, seed=0)
    assert found == [True, False, False]


def test_what_the_kernels_do_not_compute_is_computed_by_torch(calls):
    x = maps(2, 4, 6, 6)
    norm = nn.BatchNorm2d(4)
    assert suits(norm, x)
    unsuited = [
        (norm, x.contiguous()), (norm, x.double()), (norm, x[0]), (norm, maps(2, 5, 6, 6)), (norm, maps(1, 4, 1, 1)),
        (nn.BatchNorm2d(4).eval(), x), (nn.BatchNorm2d(4, momentum=None), x), (nn.BatchNorm2d(4, affine=False), x),
        (nn.BatchNorm2d(4, track_running_stats=False), x), (nn.BatchNorm2d(4).double(), x), (norm, x.to("meta")),
    ]  # fmt: skip
    assert [suits(*each) for each in unsuited] == [False] * len(unsuited)
    for added in (x[:1], x.double()):
        found = norm_relu(norm, x, added)
        torch.testing.assert_close(found, torch.relu(norm(x) + added), rtol=0, atol=0)
    assert not calls
    other = nn.BatchNorm2d(4, momentum=None)
    torch.testing.assert_close(norms_relu(other, x, norm, x), torch.relu(other(x) + norm(x)), rtol=0, atol=0)
    assert not calls
    norm_relu(norm, x, x)
    norms_relu(norm, x, other, x)
    norms_relu(norm, x, nn.BatchNorm2d(4), x)
    assert calls == [(4, "added"), (4, "added"), (4, "norms")]


@pytest.mark.parametrize(
    ("pool", "call"),
    [
        (nn.AvgPool2d(2, 2), (2, 2, 0, False)), (nn.AvgPool2d(3, 2), (3, 2, 0, False)),
        (nn.AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False), (3, 2, 1, False)),
        (nn.MaxPool2d(3, 1, 1), (3, 1, 1, True)), (nn.MaxPool2d(2), (2, 2, 0, True)),
        (nn.AvgPool2d((3, 2)), None), (nn.AvgPool2d(4), None), (nn.AvgPool2d(2, 2, 1), None),
        (nn.AvgPool2d(2, divisor_override=3), None), (nn.AvgPool2d(3, 2, ceil_mode=True), None),
        (nn.MaxPool2d(3, dilation=2), None), (nn.MaxPool2d(4), None), (nn.MaxPool2d(3, 2, ceil_mode=True), None),
        (nn.MaxPool2d(2, return_indices=True), None), (nn.LPPool2d(2, 2), None),
    ],
)  # fmt: skip
def test_pooling_is_fused_where_the_kernels_know_the_windows(calls, pool, call):
    x = maps(2, 4, 6, 6)
    network = nn.Sequential(pool)
    with Fusing(network).within():
        found = network(x)
    torch.testing.assert_close(found, pool(x))
    assert calls == ([call] if call else [])


def test_maps_that_are_smaller_than_a_window_or_in_another_format_are_left_to_torch(calls):
    pool = nn.MaxPool2d(3, 2, 1)
    for features in (
        maps(2, 4, 2, 6),
        maps(2, 4, 6, 6).contiguous(),
        maps(2, 4, 6, 6).double(),
        maps(2, 4, 6, 6)[0],
        maps(0, 4, 6, 6),
    ):
        torch.testing.assert_close(fusing.pooled(pool, features), pool(features))
    assert not calls


def test_cells_of_other_sizes_and_formats_are_averaged_by_torch(calls):
    x = maps(2, 4, 6, 6)
    for features, grid in ((x, (4, 4)), (x, (3, 5)), (x.contiguous(), (2, 2)), (x.double(), (2, 2))):
        same, cells = fusing.tapped(Heads.pool, features, grid)
        assert same is features
        assert cells.shape[2:] == grid
    assert not calls
    fusing.tapped(Heads.pool, x, (3, 2))
    assert calls == [(3, 2)]


def test_heads_that_are_not_all_asked_for_are_computed_apart(calls):
    torch.manual_seed(0)
    heads = Heads([(3, 2, 2)] * 2, [(2, 2)] * 2, [6] * 2, 5, passes_on=[1.0] * 2)
    features = maps(7, 3, 2, 2)
    read = {place: heads.read(place, features)[1] for place in range(2)}
    plain = heads(read)
    with Fusing(heads).within():
        both = heads(read)
        assert calls == [(12, "relu")]
        one = heads({1: read[1]})
    torch.testing.assert_close(both, plain, rtol=0, atol=0)
    torch.testing.assert_close(one, plain[1:])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "passes"),
    # Two eager steps, one in which kernels are compiled, and the fake graph computes a pass once.
    [({}, [0, 0, 1, 2]), ({"fuse": False}, [0, 0, 0, 0]), ({"capture": False}, [0, 0, 0, 0])],
)
def test_a_step_is_fused_where_it_is_captured(calls, cuda, monkeypatch, options, passes):
    monkeypatch.setattr(step, "can_fuse", lambda device: True)
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    labels = [layer.label for layer in space.layers]
    network = PrefixNetwork(space, [(labels.index("res32"), labels.index("conv64k3"))], 10)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    own = Step(
        network, optimizer, **{"capture": True, **options}, label_smoothing=0.0, device=ONE, precision=FLOAT32
    )  # fmt: skip
    images = torch.randn(20, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    a_pass = [(8, "relu"), (8, "added"), (4, 4), (16, "relu"), (4, 4), (32, "relu"), (64, "relu")]
    counts = []
    for _ in range(EAGER_STEPS + 1):
        own(images, torch.arange(20) % 10)
        counts.append(len(calls) // len(a_pass))
    assert counts == passes
    own.reset()
    for _ in range(EAGER_STEPS + 1):
        own(images, torch.arange(20) % 10)
    assert calls == 2 * passes[-1] * a_pass


@pytest.fixture
def gpu(monkeypatch):
    fusing._tried.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(fusing, "find_spec", lambda name: name)
    current = []

    @contextmanager
    def on(device):
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(fusing, "on", on)
    monkeypatch.setattr(fusing, "_difference", lambda device: 0.0 if current == [device] else 1.0)
    yield monkeypatch
    fusing._tried.cache_clear()


def test_nothing_is_fused_on_a_cpu_without_triton_or_on_an_old_gpu(gpu):
    # Triton launches on the current device, so the trial makes it so.
    assert can_fuse(ONE)
    assert not can_fuse(torch.device("cpu"))
    gpu.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert not can_fuse(ONE)
    gpu.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    gpu.setattr(fusing, "find_spec", lambda name: None)
    assert not can_fuse(ONE)


def raises(device):
    raise RuntimeError("Failed to find C compiler\nmore")


@pytest.mark.parametrize(
    ("difference", "why"),
    [
        (raises, "RuntimeError: Failed to find C compiler"),
        (lambda device: 0.04, "a trial differs by 0.04 from what torch computes"),
        (lambda device: float("nan"), "a trial differs by nan from what torch computes"),
    ],
)
def test_kernels_that_fail_their_trial_are_left_alone_and_this_is_said_once(gpu, caplog, difference, why):
    gpu.setattr(fusing, "_difference", difference)
    with caplog.at_level(logging.WARNING):
        assert [can_fuse(ONE) for _ in range(2)] == [False, False]
    [record] = caplog.records
    assert record.getMessage() == f"batch norm, ReLU and pooling are computed apart ({why})"


def test_the_trial_compares_with_torch(monkeypatch):
    cpu = torch.device("cpu")

    def exact(norm, x, added, *, relu):
        return torch.relu(norm(x) + added) if relu else norm(x)

    monkeypatch.setattr(fusing, "_fused", exact)
    monkeypatch.setattr(fusing, "_tap", Heads.pool)
    assert fusing._difference(cpu) == 0.0
    monkeypatch.setattr(fusing, "_fused", lambda *args, relu: exact(*args, relu=relu) * 1.01)
    assert fusing._difference(cpu) == pytest.approx(0.01, rel=1e-3)
    monkeypatch.setattr(fusing, "_fused", exact)
    monkeypatch.setattr(fusing, "_tap", lambda x, grid: (x, 1.02 * Heads.pool(x, grid)[1]))
    assert fusing._difference(cpu) == pytest.approx(0.02, rel=1e-3)
