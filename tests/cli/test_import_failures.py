from service.cli.import_failures import MAX_FAILURES, Failure, ImportFailures


def test_alike_failures_are_summed_up() -> None:
    """After the first failures of a kind, the others are only counted."""
    failures = ImportFailures()
    for line in range(1, 1_001):
        failures.add(Failure(line, "INVALID_LINE", f"not JSON: at character {line}"))
    failures.add(Failure(1_001, "INVALID_LINE", "id: missing"))
    assert (1_001, MAX_FAILURES + 1) == (len(failures), len(list(failures)))
    (further,) = failures.further()
    assert str(further).startswith("and 900 more: INVALID_LINE: not JSON: at character ")


def test_many_kinds_stay_bounded() -> None:
    """Failures that are all different are bounded too, and all of them are counted."""
    failures = ImportFailures()
    for line in range(50_000):
        name = "".join(chr(97 + int(digit)) for digit in str(line))
        failures.add(Failure(line, "INVALID_LINE", f"{name}: unknown field"))
    listed = list(failures)
    assert (
        50_000
        == len(failures)
        == len(listed) + sum(further.further_count for further in failures.further())
    )
    assert len(listed) < 1_000
    assert sorted(listed) == listed
