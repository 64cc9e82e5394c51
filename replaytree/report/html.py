"""From figures and facts to one self-contained page that never uses the network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from replaytree.report import theme, wording
from replaytree.report.section import HasMeasured, Section, draw_sections, every_section

SCRIPTS = ("draw.js", "tree.js", "panel.js", "explore.js", "stay.js")


def render(template: str, data: HasMeasured, sections: Sequence[Section[Any, Any]], **values: Any) -> str:
    """The sections of the data as a page, from a template of assets/; every value is escaped where it is put in.

    The page's scripts are given the figures and the columns by the names of the sections.
    """
    drawn = draw_sections(data, sections)
    every = every_section(drawn)
    scripts = [plotly_script(), "\n".join(_asset(name) for name in SCRIPTS)]
    payload = {
        "columns": {each.name: each.section.columns(data) for each in every if each.section.columns is not None},
        "figures": {each.name: figure_json(each.figure) for each in every if each.figure is not None},
        "templates": {scheme: theme.template(scheme) for scheme in ("light", "dark")},
        "scales": {
            "diverging": {scheme: theme.diverging(scheme) for scheme in ("light", "dark")},
            "counts": {scheme: theme.counts(scheme) for scheme in ("light", "dark")},
        },
    }
    return (
        _environment()
        .get_template(template)
        .render(
            policy=content_policy(scripts),
            style=Markup(_asset("page.css")),
            scripts=[Markup(script) for script in scripts],
            payload=script_json(payload),
            sections=drawn,
            data=data,
            metric=data.metric,
            fixed=partial(data.metric.shown, unknown="unknown"),
            written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            **values,
        )
    )


def script_json(value: Any) -> Markup:
    """JSON that is safe in a script element: without '<', it holds neither '</script>' nor '<!--'."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def content_policy(scripts: list[str]) -> str:
    """Only these scripts run, and nothing is loaded: a name that escaped the escaping would be harmless."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{found}'" for found in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )


def figure_json(figure: go.Figure) -> dict[str, Any]:
    """Data and layout; the template is the page's."""
    drawn: dict[str, Any] = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    return {"data": drawn["data"], "layout": drawn["layout"]}


@lru_cache
def plotly_script() -> str:
    """plotly.js without the comment that would end the element early, if it ever had one."""
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("\r\n", "\n").strip()


@lru_cache
def _asset(name: str) -> str:
    return (files("replaytree.report") / "assets" / name).read_text(encoding="utf-8").strip()


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("replaytree.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": wording.short,
        "counted": wording.counted,
        "embedded": wording.embedded,
        "json": script_json,
    }
    return environment
