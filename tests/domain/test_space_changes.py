"""The refusal of another model names the settings and the command that help."""

from dataclasses import replace

import pytest

from service.domain.space_changes import explain_other_space
from service.domain.spaces import Model, Space

SMALL = Space("openrouter", "openai/text-embedding-3-small", 1536)
E5 = Space("openai", "intfloat/e5", 1024, "passage: {text}", "query: {text}")
LOCAL = Space("local", "static", 256)


@pytest.mark.parametrize(
    ("stored", "configured", "variables", "command"),
    [
        (
            LOCAL,
            Model(SMALL),
            "AKIN_EMBEDDER=local",
            "akin reembed --provider openrouter --model openai/text-embedding-3-small",
        ),
        (
            SMALL,
            Model(LOCAL),
            (
                "AKIN_EMBEDDER=openrouter AKIN_EMBEDDING_MODEL=openai/text-embedding-3-small "
                "AKIN_EMBEDDING_DIMENSIONS=1536"
            ),
            "akin reembed --provider local",
        ),
        (
            SMALL,
            Model(replace(SMALL, dimensions=512), 512),
            "AKIN_EMBEDDING_DIMENSIONS=1536",
            (
                "akin reembed --provider openrouter --model openai/text-embedding-3-small "
                "--dimensions 512"
            ),
        ),
        (
            replace(SMALL, model="cohere/embed#search"),
            Model(replace(SMALL, model="cohere/embed#classify")),
            "AKIN_EMBEDDING_INPUT_TYPE=search",
            "akin reembed --provider openrouter --model cohere/embed",
        ),
        (
            replace(E5, template="{text}"),
            Model(E5),
            "AKIN_EMBEDDING_TEMPLATE='{text}'",
            (
                "akin reembed --provider openai --model intfloat/e5 --template 'passage: {text}' "
                "--query-template 'query: {text}'"
            ),
        ),
    ],
    ids=["from local", "to local", "dimensions", "input type", "templates"],
)
def test_settings_and_command_are_exact(
    stored: Space, configured: Model, variables: str, command: str
) -> None:
    """The message names only the settings that differ, quoted for a shell, and one command."""
    message = explain_other_space("default", stored, configured)
    assert f": start the server with {variables} and run `{command}`;" in message
    assert f"{stored.model} ({stored.provider}, {stored.dimensions} dimensions)" in message
    assert f"{configured.space.model} ({configured.space.provider}" in message


def test_no_width_is_claimed_for_a_model_that_may_not_have_responded() -> None:
    """The message has the dimensions of another model only if they are the difference."""
    assert "1536" not in explain_other_space("default", LOCAL, Model(SMALL))
    narrow = Model(replace(SMALL, dimensions=512), 512)
    assert "512 dimensions)" in explain_other_space("default", SMALL, narrow)


def test_no_setting_chooses_the_local_model_of_another_version() -> None:
    """Where no setting helps, the message says so, and names no command that would fail."""
    message = explain_other_space("default", replace(LOCAL, model="older"), Model(LOCAL))
    assert message.endswith(": start the version of the server that stored the catalog")
