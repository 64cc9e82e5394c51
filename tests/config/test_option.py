import pytest

from replaytree.config import SearchConfig
from replaytree.config.option import LARGEST, declared, whole_number
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
    assert wanted("evaluator") == "one of joint, separate"


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
        assert getattr(SearchConfig(**{field: value}), field) == value
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
