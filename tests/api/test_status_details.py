from __future__ import annotations

from google.rpc import error_details_pb2

from service import errors
from service.api.status import FIELD_BYTES, status


def test_a_field_of_any_characters_has_a_status() -> None:
    """The name of a field that no message can hold is shown with question marks in its place."""
    rpc_status = status(errors.invalid_field("attributes.a\ud800é", "must have a value"))
    assert "attributes.a?é must have a value" == rpc_status.message
    details = error_details_pb2.BadRequest()
    assert rpc_status.details[1].Unpack(details)
    assert ["attributes.a?é"] == [violation.field for violation in details.field_violations]


def test_a_long_field_is_shortened() -> None:
    """A name that takes more of a header than one field may is cut between characters."""
    details = error_details_pb2.BadRequest()
    status(errors.invalid_field("é" * 1_000, "must have a value")).details[1].Unpack(details)
    (violation,) = details.field_violations
    assert "é" * (FIELD_BYTES // 6) + "... (shortened)" == violation.field
