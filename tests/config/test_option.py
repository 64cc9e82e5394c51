import math

import pytest

from replaytree.config import SearchConfig
from replaytree.config.option import LARGEST, declared, whole_number
from replaytree.config.space import LayerOptions
from replaytree.errors import ConfigError


def wanted(field):
    return declared(SearchConfig)[field].wanted


def test_limits_in_words():
    assert wanted("max_layers") == "a whole number of at least 1 and at most 10000"
    assert wanted("seed") == "a whole number of at least 0 and less than 9.22337e+18"
    assert wanted("val_fraction") == "a number over 0 and less than 1"
    assert wanted("rho_bar") == "a number over 0"
    assert wanted("gamma") == "a number of at least 0 and at most 1"
    assert wanted("dataset") == "text"
    assert wanted("prune") == "true or false"
    assert wanted("evaluator") == "one of joint, separate, whole"


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("max_layers", (2, 10_000), (0, 10_001)),  # least and most are in the range
        ("gamma", (0.0, 1.0), (-1e-9, 1.0 + 1e-9)),
        ("val_fraction", (1e-9, 1.0 - 1e-9), (0.0, 1.0, -0.5, 1.5)),  # above and below are just outside it
        ("width", (1e-9, 64.0), (0.0, -1.0, 64.5)),
        ("seed", (0, LARGEST), (-1, LARGEST + 1)),
        ("cost_weight", (-1e3, 0.0), (-1001.0, 1e-9)),
    ],
)
def test_both_ends_of_a_range(field, good, bad):
    for value in good:
        strategy = "replay" if field == "gamma" else "guided"
        assert SearchConfig(strategy=strategy, **{field: value}).to_options()[field] == value
    for value in bad:
        with pytest.raises(ConfigError, match=rf"^{field} is {value}; it must be "):
            SearchConfig(**{field: value})


def test_a_number_is_shown_unless_nobody_could_read_it():
    with pytest.raises(ConfigError, match=rf"^max_layers is {10**40}; "):
        SearchConfig(max_layers=10**40)
    with pytest.raises(ConfigError, match=r"^max_layers is too large a number; "):
        SearchConfig(max_layers=10**40 + 1)


@pytest.mark.parametrize(
    ("text", "value"), [("1e3k", 10**6), ("2e2M", 2 * 10**8), ("1.5e1b", 15 * 10**9), ("1e0", 1), ("3000e-3", 3)]
)
def test_an_exponent_and_a_unit_are_multiplied(text, value):
    assert whole_number(text) == value


# What the measurements in reports/benchmarks/ were made with, unless they say otherwise.
DEFAULTS = {
    "seed": 0, "space": "xu24", "dataset": "digits",
    "val_fraction": 0.1, "skip_bad": False, "min_layers": 2, "max_layers": 6,
    "grow_every": 1, "grow_patience": 5, "strategy": "guided", "num_paths": 1, "return_kind": "cumulative",
    "gamma": 0.9, "replay": 0.25, "continue_": 0.0, "temperature": 0.01, "rho_bar": 1.0, "baseline": "depth",
    "hidden_size": 64, "policy_learning_rate": 0.005, "entropy": 0.01, "grad_clip": 1.0, "warmup": 8,
    "candidates": 200, "mutants": 0.75, "population": 20, "tournament": 5, "exploration": 1.0, "evaluator": None,
    "epochs_first": 4, "epochs_last": 8, "batch_size": None, "learning_rate": None, "momentum": 0.9,
    "weight_decay": 0.0005, "label_smoothing": 0.1, "prune": True, "device": "auto", "capture": None, "fuse": None,
    "reward": "accuracy", "cost_weight": -0.07, "adam_beta": 0.9, "adam_epsilon": 1e-8, "init_range": 0.08,
    "softmax_temperature": 1.0, "op_tanh_reduce": 1.0, "separable_bias": 0.0, "cell_bias": 0.0, "entropy_in": "loss",
    "baseline_first": False, "skip_weight": 0.0, "skip_target": 0.4, "removal": "oldest", "mutation": "decision",
}  # fmt: skip
UNSET = (
    "threads", "data_dir", "image_size", "train_limit", *declared(LayerOptions),
    "warm_start", "ahead", "baseline_decay", "tanh_constant", "identity", "crop_padding", "flip",
    "max_params", "max_flops", "target_params", "target_flops",
)  # fmt: skip


def test_the_defaults():
    options = SearchConfig().to_options()
    assert {name: options[name] for name in DEFAULTS} == DEFAULTS
    assert {options[name] for name in UNSET} == {None}


# The smallest and the largest good value; None: no limit but that of the database.
EDGES = {
    "train_limit": (1, None), "min_layers": (1, 10_000), "max_layers": (1, 10_000),
    "grow_every": (1, None), "grow_patience": (1, None), "num_paths": (1, 10_000), "ahead": (1, 1_000),
    "hidden_size": (1, 16_384),
    "warmup": (1, None), "candidates": (1, 1_000_000), "population": (1, None), "tournament": (1, 1_000_000),
    "epochs_first": (1, 1_000_000), "epochs_last": (1, 1_000_000), "batch_size": (1, None), "crop_padding": (0, 4096),
    "max_params": (1, None), "max_flops": (1, None), "target_params": (1, None), "target_flops": (1, None),
    "gamma": (0.0, 1.0), "replay": (0.0, 1.0), "continue_": (0.0, 1.0), "mutants": (0.0, 1.0), "momentum": (0.0, 1.0),
    "baseline_decay": (0.0, 1.0), "label_smoothing": (0.0, 1.0), "temperature": (1e-6, 1e6),
    "entropy": (0.0, 1e6), "exploration": (0.0, 1e6), "weight_decay": (0.0, 1e6),
    "policy_learning_rate": (math.ulp(0.0), 1e6), "learning_rate": (math.ulp(0.0), 1e6),
    "rho_bar": (math.ulp(0.0), None), "grad_clip": (math.ulp(0.0), None),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_the_range_of_a_field(name):
    field, (least, most) = declared(SearchConfig)[name], EDGES[name]
    most = LARGEST if most is None and field.kind is int else most
    assert field.checked(least) == least
    below = least - 1 if field.kind is int else math.nextafter(least, -math.inf)
    with pytest.raises(ConfigError, match=rf"^{name.rstrip('_')} is "):
        field.checked(below)
    if most is not None:
        assert field.checked(most) == most
        above = most + 1 if field.kind is int else math.nextafter(most, math.inf)
        with pytest.raises(ConfigError, match=rf"^{name.rstrip('_')} is "):
            field.checked(above)
