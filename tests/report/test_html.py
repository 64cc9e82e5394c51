import json

from hypothesis import given
from hypothesis import strategies as st

from replaytree.report.html import plotly_script, script_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_in_a_script_is_the_same_value_and_cannot_end_it(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_the_element_of_plotly_does_not_end_early():
    assert "</script" not in plotly_script().lower()
