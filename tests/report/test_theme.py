import pytest

from replaytree.metric import ACCURACY
from replaytree.report.theme import INK, MUTED, SURFACE, VIRIDIS, Scale, colour_at


def test_colours_go_from_the_low_end_to_the_best():
    scale = Scale.of([0.1, *[0.5] * 9, 0.99], ACCURACY)
    assert (scale.low, scale.high) == (0.5, 0.99)
    assert scale.colour(0.2) == scale.colour(0.5) == VIRIDIS[0]
    assert scale.colour(0.99) == VIRIDIS[-1]
    assert scale.colour(scale.middle) == colour_at(0.5)
    assert 0.5 < scale.middle < 0.99


@pytest.mark.parametrize("accuracies", [[], [0.0], [1.0, 1.0], [0.3] * 20])
def test_any_accuracies_have_a_scale(accuracies):
    scale = Scale.of(accuracies, ACCURACY)
    assert scale.low < scale.high
    assert all(scale.colour(accuracy).startswith("#") for accuracy in accuracies)


def luminance(colour):
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ratio"), [(INK, 7.0), (MUTED, 4.5)])
def test_text_can_be_read_on_its_ground(scheme, ink, ratio):
    bright, dim = sorted((luminance(ink[scheme]), luminance(SURFACE[scheme])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= ratio
