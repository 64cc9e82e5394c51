"""The versions of packages, also where replaytree runs from a checkout that is not installed, and its extras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages that one thing alone needs, by their names on PyPI, and what it is called where it needs them."""

    packages: tuple[str, ...]
    needed_by: str


EXTRAS: Mapping[str, Extra] = {
    "postgres": Extra(("psycopg",), "PostgreSQL"),
    "onnx": Extra(("onnx", "onnxruntime", "onnxscript"), "ONNX"),
    "tflite": Extra(("litert-torch", "ai-edge-quantizer", "ai-edge-litert"), "TFLite"),
    "ray": Extra(("ray",), "--workers and --ray-address"),
    "tensorboard": Extra(("tensorboard",), "--tensorboard"),
    "mlflow": Extra(("mlflow-skinny",), "MLflowLog in Python"),
}
"""As pyproject.toml has them."""


def version_of(package: str) -> str:
    """As importlib.metadata has it; NOT_INSTALLED where it has none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def lacks(extra: str, missing: Sequence[str]) -> str:
    """'ONNX needs onnx and onnxruntime, which are not installed', and the line that installs the extra."""
    are = "is" if len(missing) == 1 else "are"
    return f"{EXTRAS[extra].needed_by} needs {joined(missing)}, which {are} {NOT_INSTALLED}; {installing(extra)}"


def joined(names: Sequence[str]) -> str:
    """'a, b and c'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def installing(extra: str) -> str:
    """The line that installs an extra."""
    return f"pip install 'replaytree[{extra}]'"
