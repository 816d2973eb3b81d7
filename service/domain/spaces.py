"""Embedding spaces: which vectors may be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum


class VectorStorage(Enum):
    """How an index keeps vectors in memory; unspecified: as the settings say."""

    UNSPECIFIED = ""
    FLOAT32 = "float32"
    FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: vectors may be compared only within one.

    A template is what is put around a text before it is embedded; `query_template` is for texts and
    tastes that items are looked for with.
    """

    provider: str
    model: str
    dimensions: int
    template: str = "{text}"
    query_template: str = "{text}"
    normalization: str = "l2"

    @property
    def fingerprint(self) -> str:
        """The space in one canonical line, equal exactly for equal spaces."""
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
    """What a caller wants to embed with; what is left out is as in the settings."""

    provider: str = ""
    model: str = ""
    dimensions: int = 0
    template: str = ""
    query_template: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What makes a generation's vectors, and the width it must be asked for, if it must."""

    space: Space
    dimensions_asked: int | None = None
