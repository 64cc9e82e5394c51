import textwrap
from pathlib import Path

import pytest

from replaytree.config import STRATEGY_NAMES, STRATEGY_OPTIONS, WARM_STRATEGIES, SearchConfig, strategies
from replaytree.config.option import declared
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
    config = SearchConfig(strategy="guided", warmup=4, hidden_size=16, population=3)
    assert config.strategy_options == GuidedOptions(warmup=4, controller=config.strategy_options.controller)
    assert config.strategy_options.controller.hidden_size == 16
    own = {
        "warmup", "candidates", "mutants", "exploration", "hidden_size", "controller_layers", "policy_learning_rate",
        "grad_clip",
    }  # fmt: skip
    assert set(declared(GuidedOptions)) == own
    assert SearchConfig(strategy="random", warmup=4).strategy_options == RandomOptions()


def test_what_strategies_share_has_one_value():
    config = SearchConfig(exploration=0.5, entropy=0.25, grad_clip=2.0)
    guided, puct, replay = (
        SearchConfig.with_options(config, strategy=name).strategy_options for name in ("guided", "puct", "replay")
    )
    assert guided.exploration == puct.exploration == 0.5
    assert puct.gradient == replay.gradient
    assert puct.gradient.entropy == 0.25
    assert puct.gradient.controller == guided.controller
    assert guided.controller.grad_clip == 2.0


@pytest.mark.parametrize("name", STRATEGY_OPTIONS)
def test_options_made_alone_are_checked_like_those_of_a_configuration(name):
    kind = STRATEGY_OPTIONS[name]
    for field in kind.__dataclass_fields__.values():
        if "option" in field.metadata:
            with pytest.raises(ConfigError, match=r"must be .* \(--"):
                kind(**{field.name: b"nonsense"})
