from service.index.written_keys import MAX_WRITTEN_KEYS, WrittenKeys


def test_keys_since_a_version_are_listed() -> None:
    """The keys that were noted since a version are listed, each once."""
    written = WrittenKeys()
    written.note([1, 2])
    version = written.version
    assert set() == written.list_since(version)
    written.note([3])
    written.note({2, 3})
    assert {2, 3} == written.list_since(version)
    assert {1, 2, 3} == written.list_since(0)


def test_too_many_keys_are_not_listed() -> None:
    """If some of the keys since a version are forgotten, none are listed."""
    written = WrittenKeys()
    written.note([0])
    version = written.version
    written.note(range(1, MAX_WRITTEN_KEYS + 1))
    assert set(range(1, MAX_WRITTEN_KEYS + 1)) == written.list_since(version)
    assert None is written.list_since(0)
