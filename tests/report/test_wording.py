import pytest

from replaytree.report.wording import counted, ordinal, short


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "unknown"), (0, "0"), (999, "999"), (1000, "1k"), (1234567, "1.23M"), (999_600, "1M"), (5 * 10**12, "5T")],
)
def test_short_numbers(number, text):
    assert short(number) == text


def test_ordinals_and_counts():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 111, 1002)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th", "1,002nd",
    ]  # fmt: skip
    assert [counted(1, "prefix", "prefixes"), counted(1200, "prefix", "prefixes"), counted(2, "layer")] == [
        "1 prefix", "1,200 prefixes", "2 layers",
    ]  # fmt: skip
