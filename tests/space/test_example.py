"""The path that shows how layers are written."""

from replaytree.space import LabelSpace
from replaytree.space.example import example_path


def test_it_goes_on_where_the_option_in_turn_would_end_it():
    """The second option, 'stop', comes first in turn and would end the path; behind the third layer it may."""
    space = LabelSpace(["go", "stop"], max_layers=5, legal=lambda prefix: [not prefix or prefix[-1] == 0] * 2)
    assert example_path(space) == (0, 0, 1)
