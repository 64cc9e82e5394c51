import copy

import pytest
import torch
from torch import nn

from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.networks.trie import PrefixNetwork
from replaytree.space import LayerSpace, xu24
from replaytree.training import loop
from replaytree.training.loop import Training
from replaytree.training.precision import Precision, cpu_has_bfloat16, whole_float32
from replaytree.training.recipe import Recipe
from replaytree.training.step import Step

CPU = torch.device("cpu")
HALF = Precision(torch.float16, scaled=True)
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(
    ("capability", "text"),
    [
        ((6, 1), "float32"),
        ((7, 0), "float16 with scaled losses"),
        ((7, 5), "float16 with scaled losses"),
        ((8, 0), "bfloat16"),
        ((9, 0), "bfloat16"),
        ((12, 0), "bfloat16"),
    ],
)
def test_the_precision_of_a_gpu_follows_from_its_capability(monkeypatch, capability, text):
    asked = []
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    assert str(Precision.of(torch.device("cuda:1"))) == text
    assert asked == [torch.device("cuda:1")]


def test_other_devices_compute_in_float32(monkeypatch):
    assert [str(Precision.of(torch.device(name))) for name in ("cpu", "mps")] == ["float32", "float32"]
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert str(Precision.of(torch.device("cuda:0"))) == "bfloat16"


def test_the_wanted_precision_is_taken_on_every_device_that_has_it(monkeypatch):
    assert [str(Precision.of(CPU, wanted)) for wanted in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    gpu = torch.device("cuda:1")
    assert str(Precision.of(gpu, "float32")) == "float32"
    assert str(Precision.of(gpu, "bfloat16")) == "bfloat16"
    for capability in ((6, 1), (7, 5)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, own=capability: own)
        assert str(Precision.of(gpu, "float32")) == "float32"
        with pytest.raises(ConfigError, match=r"^bfloat16 is not for cuda:1; leave out --precision"):
            Precision.of(gpu, "bfloat16")
    with pytest.raises(ConfigError, match=r"^bfloat16 is not for mps; leave out --precision"):
        Precision.of(torch.device("mps"), "bfloat16")


@pytest.mark.parametrize(
    ("known", "expected"),
    [({}, False), ({"avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_a_cpu_has_bfloat16_where_torch_says_so(monkeypatch, known, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert cpu_has_bfloat16() is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not cpu_has_bfloat16()


def test_a_training_in_bfloat16_rounds_and_goes_on_to_the_bit():
    data = load_data("digits", train_limit=100)
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=2)

    def trained(precision, *, stops=(2,)):
        state = None
        for until in stops:
            torch.manual_seed(0)
            recipe = Recipe(batch_size=50, precision=precision)
            training = Training(PrefixNetwork(space, [(0, 3)], 10), data, epochs=2, recipe=recipe, seed=0)
            if state is not None:
                training.load_state_dict(state)
            training.run(until=until)
            state = copy.deepcopy(training.state_dict())
        return torch.cat([each.flatten() for each in training._network.parameters()])

    usual, rounded = trained(None), trained("bfloat16")
    torch.testing.assert_close(trained("float32"), usual, rtol=0, atol=0)
    torch.testing.assert_close(trained("bfloat16", stops=(1, 2)), rounded, rtol=0, atol=0)
    # A bfloat16 has 8 bits of precision: about 0.004 of what weights are changed by.
    assert 1e-5 < (rounded - usual).abs().max() < 0.1


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (Precision(torch.float32), torch.float32),
        (Precision(torch.bfloat16), torch.bfloat16),
        (HALF, torch.float16),
    ],
)
def test_products_are_of_the_type_and_weights_are_float32(precision, dtype):
    linear = nn.Linear(4, 3)
    with precision.cast(CPU):
        assert linear(torch.ones(2, 4)).dtype == dtype
    assert linear.weight.dtype == torch.float32


def float32_settings():
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    return [*(kind.fp32_precision for kind in kinds), torch.backends.cudnn.allow_tf32]


def test_float32_is_whole_on_a_gpu_and_what_was_set_comes_back():
    before = float32_settings()
    assert before[-1] is True
    with whole_float32(torch.device("cuda:0")):
        assert float32_settings() == ["ieee", "ieee", "ieee", False]
    assert float32_settings() == before
    with whole_float32(CPU):
        assert float32_settings() == before


def test_float32_is_whole_where_only_a_part_of_the_settings_was_changed(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee")
    with pytest.raises(RuntimeError):
        float32_settings()
    with whole_float32(torch.device("cuda:0")):
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    assert torch.backends.cudnn.rnn.fp32_precision == "ieee"


def steps(precision, images, labels, *, count, net=None):
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Unflatten(1, (1, 3)))
    wrapped = Turned(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True)
    step = Step(wrapped, optimizer, label_smoothing=0.1, capture=True, device=CPU, precision=precision)
    step.begin()
    for _ in range(count):
        step(images, labels)
    return step, net, optimizer


class Turned(nn.Module):
    """Logits as (T, B, K)."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(images).transpose(0, 1)


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 1, 2, 2, generator=generator), torch.randint(3, (8,), generator=generator)


def test_scaled_float16_trains_as_float32():
    scaled, half, _ = steps(HALF, *batch(), count=12)
    plain, whole, _ = steps(Precision(torch.float32), *batch(), count=12)
    assert scaled.losses() == pytest.approx(plain.losses(), rel=1e-3)
    torch.testing.assert_close(half[1].weight, whole[1].weight, atol=2e-3, rtol=2e-3)
    assert scaled.state_dict()["scale"] == 2.0**16
    assert plain.state_dict() == {}


def test_a_step_whose_gradients_overflow_changes_nothing_but_the_factor(monkeypatch):
    """The first one is the worst: the optimiser skips it, and would go on with momentum that nobody has written."""
    monkeypatch.setattr(torch, "empty_like", lambda like: torch.full_like(like, torch.nan))
    images, labels = batch()
    large, net, _ = steps(HALF, images * 30, labels, count=1)
    before = copy.deepcopy(net.state_dict())
    assert large.state_dict()["scale"] == 2.0**15
    _, fresh, _ = steps(HALF, images * 30, labels, count=0)
    torch.testing.assert_close(before, fresh.state_dict(), rtol=0, atol=0)
    for _ in range(9):
        large(images * 30, labels)
    assert 2.0**4 < large.state_dict()["scale"] < 2.0**15
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())
    assert not torch.equal(net[1].weight, fresh[1].weight)


def test_a_training_goes_on_with_its_factor(monkeypatch):
    monkeypatch.setattr(loop, "Step", lambda *given, **named: Step(*given, **{**named, "precision": HALF}))
    data = load_data("digits", train_limit=100)
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=1)

    def begun():
        torch.manual_seed(0)
        return Training(PrefixNetwork(space, [(0,)], 10), data, epochs=2, recipe=Recipe(batch_size=50), seed=0)

    first = begun()
    first._step._scaler._init_scale = 2.0**40
    first.run(until=1)
    stored = copy.deepcopy(first.state_dict())
    assert stored["step"]["scale"] == 2.0**38, "two steps overflowed"
    resumed = begun()
    resumed.load_state_dict(stored)
    for training in (first, resumed):
        training.run(until=2)
    assert resumed.state_dict()["step"] == first.state_dict()["step"]
    del stored["step"]
    begun().load_state_dict(stored)


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("precision", [HALF, Precision(torch.float32)])
def test_every_precision_can_be_captured(precision):
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=3)
    data = load_data("digits", train_limit=600).to("cuda")
    training = Training(PrefixNetwork(space, [(0, 1, 2)], 10), data, epochs=8, recipe=Recipe(), seed=0)
    training._step = Step(
        training._network, training._optimizer, label_smoothing=0.1, capture=True,
        device=data.train_images.device, precision=precision,
    )  # fmt: skip
    training.run(until=8)
    assert training._step._graph is not None
    assert max(training.validate()) > 0.5
