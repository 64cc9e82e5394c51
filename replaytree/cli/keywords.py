"""The typed keywords of Search, SearchConfig and best_model: the text of replaytree/config/keywords.py.

A type checker cannot read them from the declarations, which are spread over groups.
`python -m replaytree.cli.reference` writes the file anew.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from replaytree import config
from replaytree.config import SearchConfig
from replaytree.config.option import Declared, declared
from replaytree.config.retraining import RetrainOptions

FILE = Path(config.__file__).with_name("keywords.py")
WIDTH = 116

_HEAD = '''"""The options of a search as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

from os import PathLike
from typing import Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """What Search takes beside its own parameters."""
'''
_CONFIG = '''

class ConfigKeywords(SearchKeywords, total=False):
    """What SearchConfig takes: also what is a parameter of Search, which may be an object there."""
'''
_RETRAIN = '''

class RetrainKeywords(TypedDict, total=False):
    """What best_model takes beside its own parameters."""
'''
# Search has parameters of these names.
_OWN = ("space", "evaluator")


def keywords() -> str:
    """The text of the file."""
    fields = declared(SearchConfig).values()
    search = [_keyword(field) for field in fields if field.name not in _OWN]
    own = [_keyword(field) for field in fields if field.name in _OWN]
    retrain = [_keyword(field) for field in declared(RetrainOptions).values()]
    return _HEAD + "".join(search) + _CONFIG + "".join(own) + _RETRAIN + "".join(retrain)


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
