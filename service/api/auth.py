"""Authentication by API keys, and what each key is authorized to do.

Keys are in a file that holds only their hashes. It is read again when it changes.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service import errors
from service.domain.generations import DEFAULT_CATALOG

# Seconds between checks for a change of the file.
CHECK_SECONDS = 1.0

# A rate limit holds on average: after a pause, the calls of this many seconds may come at once.
BURST_SECONDS = 1.0

# The scheme of the header, which RFC 9110 compares without regard to case.
BEARER = "bearer"


class Scope(StrEnum):
    """A permission of a key; none includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


# The scope that each method needs, by full name. A method that is not listed is not served.
SCOPES = {
    "akin.v1.AnalysisService.FindDuplicates": Scope.READ,
    "akin.v1.AnalysisService.FindOutliers": Scope.READ,
    "akin.v1.AnalysisService.ClusterItems": Scope.READ,
    "akin.v1.AnalysisService.ClassifyText": Scope.READ,
    "akin.v1.AnalysisService.SearchPassages": Scope.READ,
    "akin.v1.CatalogService.CreateCatalog": Scope.ADMIN,
    "akin.v1.CatalogService.GetCatalog": Scope.READ,
    "akin.v1.CatalogService.UpdateCatalog": Scope.ADMIN,
    "akin.v1.CatalogService.ListCatalogs": Scope.READ,
    "akin.v1.CatalogService.DeleteCatalog": Scope.ADMIN,
    "akin.v1.CatalogService.EstimateReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.StartReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.GetReembedding": Scope.READ,
    "akin.v1.CatalogService.CancelReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.RollbackReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.CommitReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.Reindex": Scope.ADMIN,
    "akin.v1.InteractionService.RecordInteractions": Scope.WRITE,
    "akin.v1.InteractionService.ImportInteractions": Scope.WRITE,
    "akin.v1.InteractionService.ListInteractions": Scope.READ,
    "akin.v1.InteractionService.DeleteInteractions": Scope.WRITE,
    "akin.v1.RecommenderService.UpsertItem": Scope.WRITE,
    "akin.v1.RecommenderService.UpdateItem": Scope.WRITE,
    "akin.v1.RecommenderService.ImportItems": Scope.WRITE,
    "akin.v1.RecommenderService.GetItem": Scope.READ,
    "akin.v1.RecommenderService.BatchGetItems": Scope.READ,
    "akin.v1.RecommenderService.ListItems": Scope.READ,
    "akin.v1.RecommenderService.DeleteItem": Scope.WRITE,
    "akin.v1.RecommenderService.BatchDeleteItems": Scope.WRITE,
    "akin.v1.RecommenderService.UpsertUser": Scope.WRITE,
    "akin.v1.RecommenderService.UpdateUser": Scope.WRITE,
    "akin.v1.RecommenderService.ImportUsers": Scope.WRITE,
    "akin.v1.RecommenderService.GetUser": Scope.READ,
    "akin.v1.RecommenderService.ListUsers": Scope.READ,
    "akin.v1.RecommenderService.DeleteUser": Scope.WRITE,
    "akin.v1.RecommenderService.RecommendSimilar": Scope.READ,
    "akin.v1.RecommenderService.BatchRecommend": Scope.READ,
}


class Key(BaseModel):
    """A key, represented by its hash."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    catalogs: frozenset[str] | None = None
    calls_per_second: Annotated[float, Field(gt=0)] | None = None


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[tuple[Key, ...], Field(max_length=1_000)]


class Access(NamedTuple):
    """What a call needs: a scope, and a catalog (None: all catalogs; empty: the default one)."""

    scope: Scope
    catalog: str | None


class KeyAuthorizer:
    """Authorizes callers by API key.

    Args:
        path: a JSON file `{"keys": [...]}` of `Key` objects, each with the SHA-256 of the key in
            hexadecimal.
        clock: monotonic time in seconds.

    Raises:
        KeysUnusable: the file cannot be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._problem = ""
        self._version = _read_version(path)
        self._keys = _read_keys(path)
        self._checked = clock()

    def authenticate(self, authorization: str | None) -> str:
        """Return the name of the caller's key.

        Args:
            authorization: the header of this name, `Bearer KEY`.

        Raises:
            Unauthenticated: there is no key, or it is unknown.
        """
        return self._find_key(authorization).name

    def charge(self, authorization: str | None, scope: Scope) -> None:
        """Count a call that starts, or a further message of a stream, against the rate limit.

        Raises:
            Unauthenticated: the key is no longer valid.
            PermissionDenied: the key lacks the scope.
            RateLimited: the key has used up its rate.
        """
        key = self._find_key(authorization)
        _check_scope(key, scope)
        if key.calls_per_second is not None:
            self._take_token(key.name, key.calls_per_second)

    def charge_more(self, authorization: str | None, calls: int) -> None:
        """Count further calls that come in one message, and refuse none of them.

        The key pays for them later: its next calls are refused until its rate allows them.

        Raises:
            Unauthenticated: the key is no longer valid.
        """
        key = self._find_key(authorization)
        if key.calls_per_second is not None:
            tokens, now = self._fill_bucket(key.name, key.calls_per_second)
            self._buckets[key.name] = tokens - calls, now

    def authorize(self, authorization: str | None, access: Access) -> None:
        """Check that the caller's key has the scope and is for the catalog.

        Raises:
            Unauthenticated: the key is no longer valid.
            PermissionDenied: the key lacks the scope, or is for other catalogs.
        """
        key = self._find_key(authorization)
        _check_scope(key, access.scope)
        if key.catalogs is not None:
            if access.catalog is None:
                raise errors.PermissionDenied(f"the key {key.name} is not for all catalogs")
            if (access.catalog or DEFAULT_CATALOG) not in key.catalogs:
                raise errors.PermissionDenied(f"the key {key.name} is not for this catalog")

    def _find_key(self, authorization: str | None) -> Key:
        self._refresh_keys()
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != BEARER:
            raise errors.Unauthenticated("send a key: authorization: Bearer KEY")
        digest = hashlib.sha256(text.encode()).hexdigest()
        # Each key is compared in constant time, so that the duration reveals nothing.
        matches = [key for key in self._keys if hmac.compare_digest(key.sha256, digest)]
        if not matches:
            raise errors.Unauthenticated("the key is not known")
        return matches[0]

    def _take_token(self, name: str, rate: float) -> None:
        """Take a token from the key's bucket, which refills at `rate` a second."""
        tokens, now = self._fill_bucket(name, rate)
        if tokens < 1:
            raise errors.RateLimited("too many calls with this key", (1 - tokens) / rate)
        self._buckets[name] = tokens - 1, now

    def _fill_bucket(self, name: str, rate: float) -> tuple[float, float]:
        """Return the tokens of a key now, negative if it owes some, and the time."""
        now = self._clock()
        capacity = max(1.0, rate * BURST_SECONDS)
        tokens, filled_at = self._buckets.get(name, (capacity, now))
        return min(capacity, tokens + (now - filled_at) * rate), now

    def _refresh_keys(self) -> None:
        """Read the file again if it has changed; if that fails, keep the present keys."""
        now = self._clock()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        version = _read_version(self._path)
        if version == self._version:
            return
        try:
            self._keys = _read_keys(self._path)
        except errors.KeysUnusable as exc:
            # It is tried again: permissions can change without a change of the file.
            if exc.message != self._problem:
                structlog.get_logger().error("api_keys_not_read", problem=exc.message)
            self._problem = exc.message
        else:
            self._version, self._problem = version, ""
            structlog.get_logger().info("api_keys_read", keys=len(self._keys))


def _check_scope(key: Key, scope: Scope) -> None:
    if scope not in key.scopes:
        raise errors.PermissionDenied(f"the key {key.name} lacks the scope {scope}")


def _read_version(path: Path) -> tuple[int, int, int]:
    """Return values that change with the file; zeros if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_keys(path: Path) -> tuple[Key, ...]:
    try:
        return _KeyFile.model_validate_json(path.read_bytes()).keys
    except OSError as exc:
        raise errors.KeysUnusable(f"the API keys cannot be read: {exc}") from exc
    except ValidationError as exc:
        # The input is not quoted: a key may stand in the place of its hash.
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise errors.KeysUnusable(f"the API keys in {path} are malformed: {problems}") from None
