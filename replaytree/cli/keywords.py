"""The typed keywords of Search, SearchConfig and best_model: three files of replaytree/config.

A type checker cannot read them from the declarations, which are spread over groups.
`python -m replaytree.cli.reference` writes the files anew.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from replaytree import config
from replaytree.config import SearchConfig
from replaytree.config.option import Declared, declared
from replaytree.config.retraining import RetrainOptions

FOLDER = Path(config.__file__).parent
WIDTH = 116

_START = '''"""Options of {what} as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

{imports}
'''
_SEARCH = '''

class SearchKeywords(StrategyKeywords, total=False):
    """What Search takes beside its own parameters."""
'''
_STRATEGY = '''

class StrategyKeywords(TypedDict, total=False):
    """What says how a strategy searches."""
'''
_CONFIG = '''

class ConfigKeywords(SearchKeywords, total=False):
    """What SearchConfig takes: also what is a parameter of Search, which may be an object there."""
'''
_RETRAIN = '''

class RetrainKeywords(TypedDict, total=False):
    """What best_model takes beside its own parameters."""
'''
_TYPING = "from typing import Literal, TypedDict"
_SEARCH_IMPORTS = """from os import PathLike
from typing import Literal

from replaytree.config.strategy_keywords import StrategyKeywords"""
# Search has parameters of these names.
_OWN = ("space", "evaluator")


def keywords() -> dict[Path, str]:
    """The texts of the files."""
    fields = declared(SearchConfig).values()
    own = [field for field in fields if field.name in _OWN]
    strategy = [field for field in fields if field.option.panel == "Strategy" and field not in own]
    search = [field for field in fields if field not in own and field not in strategy]
    retrain = declared(RetrainOptions).values()
    return {
        FOLDER / "keywords.py": _START.format(what="a search", imports=_SEARCH_IMPORTS)
        + _written(_SEARCH, search)
        + _written(_CONFIG, own),
        FOLDER / "strategy_keywords.py": _START.format(what="strategies", imports=_TYPING)
        + _written(_STRATEGY, strategy),
        FOLDER / "retrain_keywords.py": _START.format(what="a retraining", imports=_TYPING)
        + _written(_RETRAIN, retrain),
    }


def _written(head: str, fields: Iterable[Declared]) -> str:
    return head + "".join(map(_keyword, fields))


def _keyword(field: Declared) -> str:
    text = textwrap.fill(f'"""{field.option.help}"""', WIDTH, initial_indent="    ", subsequent_indent="    ")
    annotation = f"    {field.name}: {' | '.join(_types(field))}"
    if len(annotation) > WIDTH:
        annotation = re.sub(r'("[^"]+")(?:, |(?=\]))', r"\n        \1,", annotation).replace(",]", ",\n    ]")
    return f"\n{annotation}\n{text}\n"


def _types(field: Declared) -> list[str]:
    if field.option.form is not None:
        types = list(field.option.form.types)
    elif field.choices:
        words = ", ".join(f'"{word}"' for word in field.choices)
        types = [f"Literal[{words}]"]
    else:
        types = [field.kind.__name__] + ["PathLike[str]"] * field.option.path
    return types + ["None"] * field.optional
