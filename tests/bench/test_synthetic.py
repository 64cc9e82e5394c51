import numpy as np
import pytest

from replaytree.bench.synthetic import RECIPES, TRAININGS, Recipe, made, synthetic_table
from replaytree.errors import ConfigError
from replaytree.space.coding import labels


def means(table, depth):
    return {path: float(np.mean(row)) for path, row in table.accuracies.items() if len(path) == depth}


def quality(table, depth, recipe):
    """z of every path of a depth, from its mean accuracy: accuracy = 1 - error exp(-spread z)."""
    return {path: -np.log((1 - mean) / recipe.error) / recipe.spread for path, mean in means(table, depth).items()}


def without_noise(**fields):
    recipe = Recipe(depth=2, options=(3,), error=0.3, spread=0.2, noise=0.0, **fields)
    return quality(made(recipe, seed=1), 2, recipe)


@pytest.mark.parametrize("kind", RECIPES)
def test_a_table_holds_every_path_with_three_noisy_trainings(kind):
    recipe, table = RECIPES[kind], synthetic_table(f"synthetic:{kind}")
    count = int(np.prod(recipe.options))
    shallow = 0 if recipe.prefixes == "none" else sum(count**depth for depth in range(1, recipe.depth))
    assert len(table.accuracies) == count**recipe.depth + shallow
    rows = np.array(list(table.accuracies.values()))
    assert rows.shape[1] == TRAININGS
    assert 0.0 < rows.min() < rows.max() < 1.0
    errors = np.array([row for path, row in table.accuracies.items() if len(path) == recipe.depth])
    assert np.median(errors.std(axis=1, ddof=1) / (1 - errors).mean(axis=1)) == pytest.approx(recipe.noise, rel=0.25)


def test_a_table_is_always_the_same_and_another_seed_another():
    first, again, other = (synthetic_table(f"synthetic:{name}") for name in ("rugged", "rugged", "rugged:1"))
    assert first == again
    assert first.labels == other.labels
    assert first.accuracies != other.accuracies


def test_without_pairs_effects_add_up():
    z = without_noise(pairs=0.0)
    for a in range(3):
        for b in range(3):
            assert z[a, b] - z[a, 0] == pytest.approx(z[0, b] - z[0, 0], abs=1e-4)
    assert np.mean(list(z.values())) == pytest.approx(0.0, abs=1e-4)
    assert np.std(list(z.values())) == pytest.approx(1.0, abs=1e-4)


def test_pairs_alone_have_no_effects():
    z = without_noise(pairs=1.0)
    for option in range(3):
        assert np.mean([z[option, b] for b in range(3)]) == pytest.approx(0.0, abs=1e-4)
    assert np.std(list(z.values())) == pytest.approx(1.0, abs=1e-4)


def test_a_prefix_lacks_the_gain_of_each_layer_to_come():
    recipe = Recipe(depth=2, options=(3,), pairs=0.0, error=0.3, spread=0.2, noise=0.0, gain=0.5)
    table = made(recipe, seed=1)
    whole, first = quality(table, 2, recipe), quality(table, 1, recipe)
    for a in range(3):
        # The effects of the second layer have mean 0.
        assert first[a,] == pytest.approx(np.mean([whole[a, b] for b in range(3)]) - 0.5, abs=1e-4)


def test_prefixes_without_meaning_say_nothing_about_their_continuations():
    """Where they have some, the mean of a prefix's continuations follows it."""
    found = {}
    for kind in ("meaningless", "additive"):
        table = synthetic_table(f"synthetic:{kind}")
        whole, prefixes = means(table, 5), means(table, 3)
        sums = dict.fromkeys(prefixes, 0.0)
        for path, mean in whole.items():
            sums[path[:3]] += mean
        found[kind] = np.corrcoef(list(sums.values()), list(prefixes.values()))[0, 1]
    assert abs(found["meaningless"]) < 0.2
    assert found["additive"] > 0.9


def test_accuracies_differ_by_tenths_of_a_point_or_by_tens_of_points():
    narrow, wide = (
        100 * np.std(list(means(synthetic_table(f"synthetic:{kind}"), depth).values()))
        for kind, depth in (("rugged-narrow", 4), ("rugged", 5))
    )
    assert (narrow, wide) == (pytest.approx(0.25, abs=0.1), pytest.approx(13, abs=3))


def test_prefixes_of_cells_are_not_measured():
    table = synthetic_table("synthetic:cells")
    assert {len(path) for path in table.accuracies} == {6}
    assert table.trainings((0, 1)) is None


def test_layers_of_several_decisions():
    table = synthetic_table("synthetic:decisions")
    space = table.space()
    assert [decision.name for decision in space.decisions(1)] == ["channels", "kernel"]
    assert labels(space, (0, 5)) == ("channels8-kernel1", "channels16-kernel5")
    assert (0, 5) in table.accuracies


def test_a_seed_that_is_no_number():
    with pytest.raises(ConfigError, match="the seed of synthetic:rugged:x"):
        synthetic_table("synthetic:rugged:x")
