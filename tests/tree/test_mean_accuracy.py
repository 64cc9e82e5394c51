import pytest

from replaytree.tree.mean_accuracy import MeanAccuracy

# Student's, t of 2 degrees 4.302653 and a deviation of 0.02: 4.302653 * 0.02 / sqrt(3) = 0.0496828 either way.
# Wilson's at 0.72 of 300: z^2 = 3.841459, middle (0.72 + 0.0064024) / 1.0128049 = 0.7172185,
# half 1.959964 sqrt(0.72 * 0.28 / 300 + 3.841459 / 360000) / 1.0128049 = 0.0505633.
SEEDS = (0.70, 0.72, 0.74)
WILSON = (0.7172185 - 0.0505633, 0.7172185 + 0.0505633)


def test_several_seeds_by_hand():
    found = MeanAccuracy(SEEDS, 300)
    assert (found.mean, found.deviation) == (pytest.approx(0.72), pytest.approx(0.02))
    assert found.of_seeds == pytest.approx((0.72 - 0.0496828, 0.72 + 0.0496828), abs=1e-6)
    assert found.of_images == pytest.approx(WILSON, abs=1e-6)
    # 0.72 - sqrt(0.0496828^2 + 0.0533448^2), 0.72 + sqrt(0.0496828^2 + 0.0477818^2).
    assert found.interval == pytest.approx((0.72 - 0.0728972, 0.72 + 0.0689312), abs=1e-6)
    assert found.interval_text == (
        "95 % interval 0.6471 to 0.7889 (seeds alone: 0.6703 to 0.7697; 300 images alone: 0.6667 to 0.7678)"
    )


def test_one_seed_has_the_interval_of_the_images():
    found = MeanAccuracy((0.72,), 300)
    assert (found.deviation, found.of_seeds) == (None, None)
    assert found.interval == pytest.approx(WILSON, abs=1e-6)
    assert (
        found.interval_text == "95 % interval 0.6667 to 0.7678 (of 300 images; one seed: other seeds may differ more)"
    )


def test_an_unknown_number_of_images_is_said():
    assert MeanAccuracy((0.72,), None).interval is None
    assert "unknown" in MeanAccuracy((0.72,), None).interval_text
    several = MeanAccuracy(SEEDS, None)
    assert several.interval == several.of_seeds
    assert "their sampling error is not in it" in several.interval_text


def test_perfect_accuracies_stay_within_0_and_1():
    found = MeanAccuracy((1.0, 1.0), 100)
    # Wilson's at 1 of 100 begins at 1 / (1 + 3.841459 / 100).
    assert found.interval == pytest.approx((0.9630064, 1.0), abs=1e-6)
    assert MeanAccuracy((0.9, 1.0), 100).interval[1] == 1.0


def test_the_interval_of_a_mean_by_hand():
    # Mean 0.8, deviation 0.1 over sqrt(2), t of 1 degree 12.7062: beyond [0, 1] on both sides.
    assert MeanAccuracy((0.7, 0.9), None).of_seeds == (0.0, 1.0)
    found = MeanAccuracy((0.79, 0.8, 0.81), None).of_seeds
    assert found == pytest.approx((0.8 - 0.0248414, 0.8 + 0.0248414), abs=1e-6)
