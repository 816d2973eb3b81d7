from __future__ import annotations

from pathlib import Path

from service.settings import Settings, names

README = Path(__file__).resolve().parents[1] / "README.md"


def test_settings_table_is_the_settings() -> None:
    """The README names every setting with its default and meaning, and no other."""
    table = README.read_text().partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    expected = [
        f"| `{variable}` | {_default(name)} | {Settings.model_fields[name].description} |"
        for name, variable in names().items()
    ]
    assert expected == table.strip().splitlines()[2:]


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    return "" if default in {None, ""} else f"`{default}`"
