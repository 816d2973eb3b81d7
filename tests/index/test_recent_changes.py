from service.index.recent_changes import MAX_RECENT_CHANGES, RecentChanges


def test_changes_since_a_version_are_listed() -> None:
    """What has changed since a version is listed, each key once."""
    recent = RecentChanges[int]()
    recent.note([1, 2])
    version = recent.version
    assert set() == recent.list_since(version)
    recent.note([3])
    recent.note({2, 3})
    assert {2, 3} == recent.list_since(version)
    assert {1, 2, 3} == recent.list_since(0)


def test_too_many_changes_are_not_listed() -> None:
    """If some of the changes since a version are forgotten, none are listed."""
    recent = RecentChanges[int]()
    recent.note([0])
    version = recent.version
    recent.note(range(1, MAX_RECENT_CHANGES + 1))
    assert set(range(1, MAX_RECENT_CHANGES + 1)) == recent.list_since(version)
    assert None is recent.list_since(0)


def test_changes_before_an_unlisted_one_are_not_listed() -> None:
    """After more changes than can be listed, only later ones are."""
    recent = RecentChanges[int]()
    recent.note([1])
    recent.note_unlisted()
    version = recent.version
    recent.note([2])
    assert None is recent.list_since(1)
    assert {2} == recent.list_since(version)
