import pytest

from replaytree.config import SearchConfig
from replaytree.config.latency import milliseconds
from replaytree.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("2ms", 2.0), ("2", 2.0), (" 0.5 ms", 0.5), ("800us", 0.8), ("0.002s", 2.0), ("1e-1MS", 0.1), (3, 3.0),
        ("0", None), ("-1ms", None), ("2m", None), ("", None), ("nan", None), (True, None), (float("inf"), None),
        (0.0, None), (None, None),
    ],
)  # fmt: skip
def test_latencies_as_they_are_written(given, found):
    assert milliseconds(given) == (None if found is None else pytest.approx(found))


def test_a_limit_needs_its_table():
    config = SearchConfig(latency_table="lat.csv", max_latency="800us", target_latency=0.5)
    assert (config.space.max_latency, config.objective.target_latency) == (0.8, 0.5)
    assert SearchConfig.from_json(config.to_json()) == config
    for name in ("max_latency", "target_latency"):
        with pytest.raises(ConfigError, match="give a --latency-table, too"):
            SearchConfig(**{name: 2.0})
    with pytest.raises(ConfigError, match=r"max_latency is -1; it must be a latency over 0, as in 2ms.*--max-latency"):
        SearchConfig(latency_table="lat.csv", max_latency=-1)
    with pytest.raises(ConfigError, match="--max-latency means nothing with --strategy darts"):
        SearchConfig(strategy="darts", weights="shared", latency_table="lat.csv", max_latency=2.0)
