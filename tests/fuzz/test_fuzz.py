import pytest

from fuzz.__main__ import print_report
from fuzz.campaign import Plan, run_fuzz
from service.api.auth import SCOPES

# `make fuzz MESSAGES=20000` makes more, and with any seed.
PLAN = Plan(seed=15, messages=150)

# Methods that only succeed in a state that few calls bring about.
SELDOM_OK = {"CancelReembedding", "CommitReembedding", "RollbackReembedding"}


@pytest.mark.slow
def test_odd_requests_get_proper_errors() -> None:
    """Odd calls of any method end with an error that names the fault, and the data stays valid."""
    report = run_fuzz(PLAN)
    if report.has_failed:
        print_report(report)
    assert [] == report.failures
    assert [] == report.server_problems
    paths = {f"/{service}/{method}" for service, _, method in (n.rpartition(".") for n in SCOPES)}
    assert paths <= report.codes.keys()
    assert {PLAN.messages} == {codes.total() for codes in report.codes.values()}
    never_ok = {path for path in paths if not report.codes[path]["OK"]}
    assert {path.rpartition("/")[2] for path in never_ok} <= SELDOM_OK
