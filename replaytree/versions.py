"""The versions of packages, also where replaytree runs from a checkout that is not installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


def version_of(package: str) -> str:
    """As importlib.metadata has it; NOT_INSTALLED where it has none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
