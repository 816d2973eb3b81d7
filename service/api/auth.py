"""Who may call what: keys from a file that holds only their hashes, read again when it changes."""

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

LOOK_SECONDS = 1.0
"""How soon a change of the file is noticed."""

BURST_SECONDS = 1.0
"""A key's rate holds on average; after a pause so many seconds' calls may come at once."""

BEARER = "Bearer "


class Scope(StrEnum):
    """What a key may be good for; none of them includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Key(BaseModel):
    """A key, without itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    catalogs: frozenset[str] | None = None
    calls_per_second: Annotated[float, Field(gt=0)] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[tuple[Key, ...], Field(max_length=1_000)]


class Access(NamedTuple):
    """What a call wants: to do what takes a scope, with a catalog; None: with all of them."""

    scope: Scope
    catalog: str | None


class AllowAll:
    """Lets everybody do everything."""

    def known(self, authorization: str | None) -> str:
        """The caller's name: none."""
        del authorization
        return ""

    def opened(self, authorization: str | None, scope: Scope) -> None:
        """Allows it."""

    def allowed(self, authorization: str | None, access: Access) -> None:
        """Allows it."""


class Keys:
    """Lets in who has a key.

    Args:
        path: a JSON file `{"keys": [...]}`, each a Key, with the SHA-256 of the key in hexadecimal.
        clock: seconds that only grow.

    Raises:
        KeysUnusable: the file cannot be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._problem = ""
        self._seen = _version(path)
        self._keys = _read(path)
        self._looked = clock()

    def known(self, authorization: str | None) -> str:
        """The name of the caller's key.

        Args:
            authorization: the header of this name, `Bearer KEY`.

        Raises:
            Unauthenticated: there is no key, or none like it.
        """
        return self._key(authorization).name

    def opened(self, authorization: str | None, scope: Scope) -> None:
        """Counts a call that starts, or a further message of a stream.

        Raises:
            Unauthenticated: there is no key, or none like it, any more.
            PermissionDenied: the key is not good for such calls.
            RateLimited: there were too many calls with it.
        """
        key = self._key(authorization)
        _check_scope(key, scope)
        if key.calls_per_second is not None:
            self._count(key.name, key.calls_per_second)

    def allowed(self, authorization: str | None, access: Access) -> None:
        """Checks a call once it is known what it is about.

        Raises:
            Unauthenticated: there is no key, or none like it, any more.
            PermissionDenied: the key is not good for it.
        """
        key = self._key(authorization)
        _check_scope(key, access.scope)
        if key.catalogs is not None:
            if access.catalog is None:
                raise errors.PermissionDenied(f"the key {key.name} is not for all catalogs")
            if (access.catalog or DEFAULT_CATALOG) not in key.catalogs:
                raise errors.PermissionDenied(f"the key {key.name} is not for this catalog")

    def _key(self, authorization: str | None) -> Key:
        self._look()
        if authorization is None or not authorization.startswith(BEARER):
            raise errors.Unauthenticated("send a key: authorization: Bearer KEY")
        given = hashlib.sha256(authorization.removeprefix(BEARER).encode()).hexdigest()
        # Every one is compared, each in constant time: how long it takes tells nothing.
        found = [each for each in self._keys if hmac.compare_digest(each.sha256, given)]
        if not found:
            raise errors.Unauthenticated("the key is not known")
        return found[0]

    def _count(self, name: str, rate: float) -> None:
        """Takes one from the key's bucket of tokens."""
        now = self._clock()
        most = max(1.0, rate * BURST_SECONDS)
        left, since = self._buckets.get(name, (most, now))
        left = min(most, left + (now - since) * rate)
        if left < 1:
            raise errors.RateLimited("too many calls with this key", (1 - left) / rate)
        self._buckets[name] = left - 1, now

    def _look(self) -> None:
        """Reads the file again if it has changed; what cannot be read changes nothing."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        version = _version(self._path)
        if version == self._seen:
            return
        try:
            self._keys = _read(self._path)
        except errors.KeysUnusable as exc:
            # It is tried again: what forbids to read it may be mended without a change of the file.
            if exc.message != self._problem:
                structlog.get_logger().error("api_keys_not_read", problem=exc.message)
            self._problem = exc.message
        else:
            self._seen, self._problem = version, ""
            structlog.get_logger().info("api_keys_read", keys=len(self._keys))


def _check_scope(key: Key, scope: Scope) -> None:
    if scope not in key.scopes:
        raise errors.PermissionDenied(f"the key {key.name} lacks the scope {scope}")


def _version(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> tuple[Key, ...]:
    try:
        return _File.model_validate_json(path.read_bytes()).keys
    except OSError as exc:
        raise errors.KeysUnusable(f"the API keys cannot be read: {exc}") from exc
    except ValidationError as exc:
        # Not what is there: it may be a key that was put in the place of its hash.
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in exc.errors(include_input=False, include_url=False)
        )
        raise errors.KeysUnusable(f"the API keys in {path} are malformed: {wrong}") from None
