import inspect
import json
import os
import pickle
import re
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import replaytree
from replaytree.cli.declared import configured
from replaytree.config import (
    STRATEGY_NAMES,
    Budget,
    Pruning,
    SearchConfig,
    by_flag,
    command,
    option_name,
    parse_flag,
    storage_url,
    whole_number,
)
from replaytree.config.keywords import ConfigKeywords, SearchKeywords
from replaytree.config.latency import LATENCY
from replaytree.config.option import declared
from replaytree.config.strategies import without_foreign
from replaytree.errors import ConfigError


def test_a_configuration_survives_json():
    config = SearchConfig(seed=3, dataset="mnist", max_layers=9, strategy="replay", continue_=0.5, flip=True, width=0.5)
    assert SearchConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_layers": 0},
            r"max_layers is 0; it must be a whole number of at least 1 and at most 10000 \(--max-layers\)",
        ),
        ({"min_layers": 7, "max_layers": 3}, "min_layers is 7, more than max_layers, 3"),
        ({"replay": 1.5}, r"replay is 1.5; it must be .* at most 1 \(--replay\)"),
        ({"continue_": -0.1}, r"continue is -0.1; .* \(--continue\)"),
        ({"replay": 0.6, "continue_": 0.6}, "add up to more than 1"),
        ({"epochs_first": 5, "epochs_last": 1}, "epochs are 5:1, but the budget must not fall"),
        ({"batch_size": 0}, r"batch_size is 0; .* \(--batch-size\)"),
        ({"epochs_first": 0}, r"epochs_first is 0; .* \(--epochs\)"),
        ({"val_fraction": 0.0}, r"val_fraction is 0.0; it must be a number over 0"),
        ({"val_fraction": 1.0}, r"val_fraction is 1.0; it must be a number over 0 and less than 1 \(--val-fraction\)"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"width": 0.0}, "width is 0.0; it must be a number over 0"),
        ({"strategy": "clever"}, "strategy is 'clever'; it must be one of darts, evolution, gdas, guided"),
        ({"seed": -1}, "seed is -1"),
        ({"train_limit": 0}, "train_limit is 0"),
        ({"num_paths": 1.5}, "num_paths is 1.5; it must be a whole number"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig(**options)


def test_one_may_ask_for_an_option_by_its_group():
    config = SearchConfig(max_layers=9, batch_size=32, threads=2, target_flops=5, grow_every=3, epochs_last=10)
    assert (config.space.max_layers, config.recipe.batch_size, config.machine.threads) == (9, 32, 2)
    assert (config.objective.target_flops, config.growth.grow_every, config.budget.epochs_last) == (5, 3, 10)
    assert config.source.dataset == "digits"
    assert hash(config) == hash(SearchConfig.from_json(config.to_json()))
    assert pickle.loads(pickle.dumps(config)) == config


def test_what_editors_know_is_what_there_is():
    search = set(inspect.signature(replaytree.Search).parameters)
    assert search.isdisjoint(get_type_hints(SearchKeywords))
    known = set(declared(SearchConfig))
    assert set(get_type_hints(ConfigKeywords)) == known
    assert set(get_type_hints(SearchKeywords)) | {"space", "evaluator"} == known
    assert {"space", "evaluator"} <= search
    assert inspect.get_annotations(replaytree.Search.__init__)["options"] == "Unpack[SearchKeywords]"
    hints = get_type_hints(ConfigKeywords)
    assert hints["strategy"] == Literal[STRATEGY_NAMES]
    assert (hints["max_layers"], hints["width"]) == (int, float | None)
    assert hints["dataset"] == str | os.PathLike[str] | None


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown option 'max_layer'; known options: .*, batch_size, .*, max_layers"):
        SearchConfig.from_options({"max_layer": 3})


@pytest.mark.parametrize("text", ["[1]", "nonsense"])
def test_json_that_is_no_configuration(text):
    with pytest.raises(ConfigError, match="not a configuration"):
        SearchConfig.from_json(text)


def test_epochs():
    assert parse_flag("--epochs", "4:8") == {"epochs_first": 4, "epochs_last": 8}
    assert parse_flag("--epochs", "6") == {"epochs_first": 6, "epochs_last": 6}
    for text in ("", "a:b", "1:2:3", "4:"):
        with pytest.raises(ConfigError, match=r"--epochs is .*; write FIRST:LAST, as in --epochs 4:8, or one number"):
            parse_flag("--epochs", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("1_000", 1000), ("100k", 100_000), ("1.5M", 1_500_000), ("1e6", 10**6), ("2.5e3", 2500),
        ("1G", 10**9),
        ("+3", 3), ("-0", 0), ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_whole_numbers_as_people_write_them(text, value):
    assert whole_number(text) == value
    assert type(whole_number(text)) is int


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k",
        "1.5",
        "²",
        "٣",
        "1e-1",
        "1k5",
        "0x10",
        "1__0",
        "_1",
        "1,000",
        "nan",
        "1e999",
        "9" * 5000,
        "1e99999999999",
    ],
)
def test_what_is_no_whole_number(text):
    with pytest.raises(ConfigError, match="whole number"):
        whole_number(text)
    with pytest.raises(ConfigError, match=r"^--grow-every is .*whole number"):
        parse_flag("--grow-every", text)


def test_none_is_a_value_where_it_says_something():
    patient = SearchConfig(grow_every=None)
    assert SearchConfig.from_json(patient.to_json()) == patient
    assert SearchConfig().growth.grow_every == 1
    with pytest.raises(ConfigError, match="max_layers is None"):
        SearchConfig(max_layers=None)


def test_every_field_is_declared_and_its_default_is_good():
    assert option_name("return_kind") == "--return"
    assert option_name("epochs_last") == "--epochs"
    assert option_name("continue_") == "--continue"
    assert option_name("grow_patience") == "--grow-patience"
    assert [f.name for each in by_flag(SearchConfig).values() for f in each] == list(SearchConfig().to_options())
    for field in declared(SearchConfig).values():
        assert field.option.help.strip()
        assert field.checked(field.default) == field.default


def test_what_equals_a_plain_value_is_stored_as_one():
    config = SearchConfig(
        seed=np.int64(3), val_fraction=np.float32(0.5), width=1, dataset=Path("some/where"), flip=np.bool_(True)
    )
    assert config == SearchConfig(seed=3, val_fraction=0.5, width=1.0, dataset="some/where", flip=True)
    assert json.loads(config.to_json())["seed"] == 3


@pytest.mark.parametrize(
    "options",
    [
        {"seed": True}, {"seed": 2**63}, {"seed": "1"}, {"gamma": True}, {"gamma": "0.5"}, {"dataset": 5},
        {"dataset": b"digits"}, {"flip": "yes"}, {"skip_bad": None}, {"width": 10**400}, {"width": 1e300},
        {"max_params": 2**63}, {"batch_size": 10**5000}, {"cost_weight": 0.1}, {"device": None},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_a_value_of_another_kind_is_one_clear_line(options):
    [name] = options
    with pytest.raises(ConfigError, match=rf"^{name} is .*; it must be .* \({option_name(name)}\)$") as caught:
        SearchConfig(**options)
    assert len(str(caught.value)) < 200


@pytest.fixture
def _no_environment(monkeypatch):
    monkeypatch.delenv("REPLAYTREE_DATA", raising=False)


WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)


def values_of(field):
    """Values that a field takes."""
    if field.choices:
        good = st.sampled_from(field.choices)
    elif field.kind is bool:
        good = st.booleans()
    elif field.name == "prior":
        good = st.sampled_from(["shared:12", "shared:0.5"])
    elif field.name == "image_size":
        good = st.integers(1, 4096) | st.tuples(st.integers(1, 4096), st.integers(1, 4096))
    elif field.option.form is LATENCY:
        good = st.floats(1e-6, 1e6)
    elif field.kind is str:
        good = WORDS
    else:
        low = field.option.least if field.option.least is not None else field.option.above or 0
        high = field.option.most if field.option.most is not None else field.option.below or 10**12
        if field.kind is int:
            good = st.integers(int(low), int(min(high, 2**63 - 1)))
        else:
            good = st.floats(
                low, high, exclude_min=field.option.above is not None, exclude_max=bool(field.option.below)
            )
    return st.none() | good if field.optional and field.name not in ("dataset", "space") else good


OPTIONS = st.fixed_dictionaries({}, optional={f.name: values_of(f) for f in declared(SearchConfig).values()})
# The options that mean nothing with fresh and with shared weights. Nearly every example would have one of them.
OF_SHARED = {"passes", "score_images", "restart_passes", "restart_factor", "lowest_rate", "supernet_clip"}
MEANINGLESS = {
    "fresh": {*OF_SHARED, "keep_weights", "inherited_epochs"},
    "shared": {"epochs_first", "epochs_last", "reward_epochs", "capture", "fuse", "keep_weights", "inherited_epochs"},
    "inherited": OF_SHARED,
}


def meaningful(options):
    drop = set(MEANINGLESS[options.get("weights", "fresh")])
    if options.get("restart_passes") is None:
        drop |= {"restart_factor", "lowest_rate"}
    return {name: value for name, value in options.items() if name not in drop}


@given(OPTIONS.map(meaningful))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("_no_environment")
def test_the_command_line_of_a_configuration_makes_that_configuration(options):
    try:
        config = SearchConfig(**without_foreign(options.get("strategy", "guided"), options))
    except ConfigError as error:
        known = "min_layers|epochs are|warm-start|add up|op_tanh_reduce is|skip_target is|--prior|"
        known += "means nothing with --strategy|--weights shared|weights are|tau is|--stop-early ends|ahead is|"
        known += "give a --latency-table"
        assert re.search(known, str(error))  # noqa: PT017
        return
    found = []

    @configured(SearchConfig)
    def run(config: SearchConfig, *, quiet: Annotated[bool, typer.Option("--quiet", rich_help_panel=None)] = False):
        found.append(config)

    app = typer.Typer(rich_markup_mode=None)
    app.command()(run)
    app(config.to_arguments(), standalone_mode=False)
    assert found == [config]


def test_a_command_line_is_short_and_needs_images_that_it_can_name():
    assert SearchConfig().to_arguments() == []
    config = SearchConfig(
        epochs_last=9, grow_every=None, flip=False, prune=False, skip_bad=True, strategy="replay", continue_=0.5
    )
    assert config.to_arguments() == [
        "--skip-bad", "--grow-every", "auto", "--strategy", "replay", "--continue", "0.5",
        "--epochs", "4:9", "--no-prune", "--no-flip",
    ]  # fmt: skip
    for own in ({"dataset": None}, {"space": None}):
        with pytest.raises(ConfigError, match="no command line makes it"):
            SearchConfig(**own).to_arguments()


def test_a_path_is_stopped_half_way_below_the_median_of_those_before_it():
    budget = Budget(8)
    pruning = Pruning()
    for accuracy in (0.1, 0.8, None, 0.3, 0.2, 0.7, 0.6, 0.5):
        assert pruning.budget(budget) == Budget(8, checkpoint=4, bar=None)
        pruning.add([] if accuracy is None else [accuracy], budget)
    assert pruning.budget(budget).bar is None  # seven have been seen, one failed
    pruning.add([0.4], budget)
    # 0.1 0.2 0.3 0.4 | 0.5 0.6 0.7 0.8
    assert pruning.budget(budget) == Budget(8, checkpoint=4, bar=0.5)
    assert pruning.budget(Budget(6)) == Budget(6, checkpoint=3, bar=None)
    assert pruning.budget(Budget(1)) == Budget(1)


def test_a_command_is_quoted_and_names_the_database_where_it_would_be_missed(monkeypatch):
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    assert command("best", "mine", "-k", 3) == "replaytree best mine -k 3"
    assert command("best", "it's", storage="sqlite:///replaytree.db") == "replaytree best 'it'\"'\"'s'"
    other = "postgresql://me:secret@host/db?password=x"
    assert command("best", "a", storage=other) == (
        "replaytree best a --storage 'postgresql://me:***@host/db?password=***'"
    )
    monkeypatch.setenv("REPLAYTREE_STORAGE", "sqlite:///here.db")
    assert command("best", "a", storage="sqlite:///here.db") == "replaytree best a"
    assert command("best", "a", storage="sqlite:///replaytree.db") == (
        "replaytree best a --storage sqlite:///replaytree.db"
    )


@pytest.mark.parametrize(
    ("storage", "url"),
    [
        ("tree.db", "sqlite:///tree.db"),
        ("/a/b c.db", "sqlite:////a/b c.db"),
        ("~/tree.db", "sqlite:////users/me/tree.db"),
        ("100%.db", "sqlite:///100%25.db"),
        ("what?.db", "sqlite:///what%3F.db"),
        ("file:x.db", "sqlite:///file:x.db"),
        ("sqlite:///x.db?timeout=1", "sqlite:///x.db?timeout=1"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:x.db", "sqlite:x.db"),
        ("postgresql+psycopg:x", "postgresql+psycopg:x"),
        (" ", " "),
    ],
)
def test_a_storage_that_is_no_url_is_a_file(storage, url, monkeypatch):
    monkeypatch.setenv("HOME", "/users/me")
    assert storage_url(storage) == url


@pytest.mark.skipif(os.name == "nt", reason="there these are paths")
@pytest.mark.parametrize("storage", ["C:\\x.db", "d:/x.db"])
def test_a_path_of_windows_elsewhere(storage):
    with pytest.raises(ConfigError, match="a path of Windows, and this is another system"):
        storage_url(storage)
