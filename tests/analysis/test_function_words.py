"""The function words of English that are no keywords."""

import subprocess
import sys

import pytest

from service.analysis.function_words import is_function_word


@pytest.mark.parametrize(
    "words",
    [
        "the her she its what whose than even rather have could if or without himself via upon",
        "don't doesn't can\u2019t she'll we\u2019ve what's it's they're i'm cannot",
    ],
)
def test_words_without_a_subject_are_function_words(words: str) -> None:
    """Articles, pronouns, prepositions, conjunctions, auxiliary verbs and their contractions."""
    assert [] == [word for word in words.split() if not is_function_word(word)]


@pytest.mark.parametrize(
    "words",
    [
        "champions guys time first playing form version may us down mine like past still round",
        "school war police novel romance crime cooking music game family city love science don",
        "woman's may's l'or all'arrabbiata don's is-land",
    ],
)
def test_words_that_name_a_subject_are_no_function_words(words: str) -> None:
    """Nouns, names and verbs with a meaning stay, and so do words that begin like a contraction."""
    assert [] == [word for word in words.split() if is_function_word(word)]


def test_keywords_need_no_model() -> None:
    """A server with another provider does not load the local model for the keywords of clusters."""
    script = (
        "import sys\nfrom service.analysis.keywords import extract_keywords\n"
        "print(extract_keywords([['what a romance', 'her romance'], ['a whale', 'the whale']]))\n"
        "print('service.embedding.local' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert ["[['romance'], ['whale']]", "False"] == output.decode().splitlines()
