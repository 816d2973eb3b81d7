"""Embedding spaces, within which vectors can be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

# The provider of the embedded model, whose vectors cost nothing.
LOCAL_PROVIDER = "local"

# Between the name of a model and its input type.
INPUT_TYPE_SEPARATOR = "#"


class VectorStorage(Enum):
    """The number format of an index's vectors in memory; unspecified: that of the settings."""

    UNSPECIFIED = ""
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space; vectors of different spaces must never be compared.

    `template` surrounds the text of an item before it is embedded, and `query_template` query texts
    and preferences.
    """

    provider: str
    model: str
    dimensions: int
    template: str = "{text}"
    query_template: str = "{text}"
    normalization: str = "l2"

    @property
    def is_local(self) -> bool:
        """Whether the vectors come from the embedded model, and not from a provider."""
        return self.provider == LOCAL_PROVIDER

    @property
    def fingerprint(self) -> str:
        """A canonical form as one line, equal exactly for equal spaces."""
        return json.dumps(
            {
                "provider": self.provider,
                "model": self.model,
                "dimensions": self.dimensions,
                "template": self.template,
                "query_template": self.query_template,
                "normalization": self.normalization,
            },
            sort_keys=True,
        )


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model that a caller chose; empty fields stand for the settings."""

    provider: str = ""
    model: str = ""
    dimensions: int = 0
    template: str = ""
    query_template: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a generation, and the dimensions to request from it; None: its own number."""

    space: Space
    requested_dimensions: int | None = None
