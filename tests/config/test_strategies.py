import json
import textwrap
from pathlib import Path

import pytest

from replaytree.config import STRATEGY_NAMES, STRATEGY_OPTIONS, WARM_STRATEGIES, SearchConfig, strategies
from replaytree.config.option import declared
from replaytree.config.strategies import foreign
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.config.strategies.random import RandomOptions
from replaytree.errors import ConfigError


def test_every_file_of_the_folder_is_a_strategy():
    files = {file.stem.replace("_", "-") for file in Path(strategies.__file__).parent.glob("*.py")}
    assert set(STRATEGY_NAMES) == files - {"--init--"}
    assert list(STRATEGY_NAMES) == sorted(STRATEGY_NAMES)
    assert {"evolution", "guided", "puct", "random", "reinforce", "replay"} <= set(STRATEGY_NAMES)
    assert {"guided", "replay"} <= set(WARM_STRATEGIES)
    assert "puct" not in WARM_STRATEGIES


def test_a_new_file_is_found_by_itself(tmp_path, monkeypatch):
    (tmp_path / "made_up.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass
        from typing import ClassVar
        from replaytree.config.option import option
        from replaytree.config.strategy import StrategyOptions

        @dataclass(frozen=True, kw_only=True)
        class MadeUpOptions(StrategyOptions):
            name: ClassVar[str] = "made-up"
            made_by: ClassVar[str] = "made_up.MadeUp"
            swaps: int = option(3, "made-up: swaps.", "Strategy", least=1)
        """)
    )
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    found = strategies._found()
    assert list(found) == sorted([*STRATEGY_NAMES, "made-up"])
    assert declared(found["made-up"])["swaps"].flag == "--swaps"


def test_a_strategy_gets_its_own_options_alone():
    config = SearchConfig(strategy="guided", warmup=4)
    assert config.strategy_options == GuidedOptions(warmup=4)
    assert set(declared(GuidedOptions)) == {"warmup", "candidates", "mutants", "exploration"}
    replay = SearchConfig(strategy="replay", hidden_size=16).strategy_options
    assert replay.gradient.controller.hidden_size == 16
    assert config.with_options(strategy="random").strategy_options == RandomOptions()


def test_what_strategies_share_has_one_value():
    config = SearchConfig(strategy="puct", exploration=0.5, entropy=0.25, grad_clip=2.0)
    guided, puct, replay = (
        SearchConfig.with_options(config, strategy=name).strategy_options for name in ("guided", "puct", "replay")
    )
    assert guided.exploration == puct.exploration == 0.5
    assert puct.gradient == replay.gradient
    assert puct.gradient.entropy == 0.25
    assert puct.gradient.controller.grad_clip == 2.0


@pytest.mark.parametrize("name", STRATEGY_OPTIONS)
def test_options_made_alone_are_checked_like_those_of_a_configuration(name):
    kind = STRATEGY_OPTIONS[name]
    for field in kind.__dataclass_fields__.values():
        if "option" in field.metadata:
            with pytest.raises(ConfigError, match=r"must be .* \(--"):
                kind(**{field.name: b"nonsense"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"strategy": "random", "tournament": 3},
            "tournament is an option of evolution, and the strategy is random; leave out --tournament, or choose "
            "--strategy evolution",
        ),
        # Given is given, though it be the default.
        ({"strategy": "random", "tournament": 5}, "tournament is an option of evolution, and the strategy is random"),
        # Without a strategy it is guided.
        (
            {"return_kind": "final"},
            "return_kind is an option of replay, and the strategy is guided; leave out --return",
        ),
        ({"continue_": 0.1}, "continue is an option of replay, and the strategy is guided; leave out --continue"),
        ({"strategy": "evolution", "temperature": 0.1}, "temperature is an option of replay, and the strategy"),
        (
            {"strategy": "random", "hidden_size": 8},
            "hidden_size is an option of puct, reinforce, replay, and the strategy is random; leave out "
            "--hidden-size, or choose --strategy puct or reinforce or replay",
        ),
    ],
)
def test_an_option_of_another_strategy_is_refused(options, message):
    with pytest.raises(ConfigError) as raised:
        SearchConfig(**options)
    assert str(raised.value).startswith(message)
    with pytest.raises(ConfigError):
        SearchConfig(strategy=options.pop("strategy", "guided")).with_options(**options)


def test_every_strategy_takes_its_own_options_and_no_other():
    all_names = {name for options in STRATEGY_OPTIONS.values() for name in declared(options)}
    for strategy, options in STRATEGY_OPTIONS.items():
        for name in all_names:
            given = {"strategy": strategy, name: declared(SearchConfig)[name].default}
            if name in declared(options):
                SearchConfig(**given)
            else:
                with pytest.raises(ConfigError, match="is an option of"):
                    SearchConfig(**given)


def test_what_is_no_option_of_a_strategy_is_shared():
    assert foreign("random", declared(SearchConfig)) == [
        name for name in declared(SearchConfig) if any(name in declared(kind) for kind in STRATEGY_OPTIONS.values())
    ]
    assert SearchConfig(strategy="random", num_paths=3, reward_power=2.0).num_paths == 3


def test_a_stored_search_keeps_what_nothing_came_of_and_no_command_repeats_it():
    stored = json.dumps({"strategy": "random", "tournament": 3, "max_layers": 9})
    config = SearchConfig.from_json(stored)
    assert config.to_options()["tournament"] == 3
    assert config.with_options(seed=4).to_options()["tournament"] == 3
    assert config.to_arguments() == ["--max-layers", "9", "--strategy", "random"]
    companion = SearchConfig(strategy="replay", gamma=0.5, hidden_size=8).with_options(strategy="random")
    assert companion.to_arguments() == ["--strategy", "random"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"op_tanh_reduce": 2.5},
            "op_tanh_reduce is 2.5, and there is no tanh constant that it could make smaller; give --tanh-constant",
        ),
        ({"skip_target": 0.2}, "skip_target is 0.2, and its weight is 0, so that nothing would come of it"),
    ],
)
def test_an_option_that_changes_another_is_not_given_without_it(options, told):
    with pytest.raises(ConfigError) as raised:
        SearchConfig(strategy="reinforce", **options)
    assert str(raised.value).startswith(told)
    SearchConfig(strategy="reinforce", tanh_constant=1.5, skip_weight=0.8, **options)
