"""The function words of English, which say nothing about the subject of a text.

The list has the closed classes only: articles, pronouns, prepositions, conjunctions and auxiliary
verbs, with a few adverbs of the same kind, such as "very". Words that more often name a subject are
left out: "may" and "us" in lower case are a month and a country, "down" fills jackets, "mine" is a
place of work, and "like" and "time" say what texts are about.
"""

from __future__ import annotations

_ARTICLES_AND_DETERMINERS = (
    "a an the this that these those some any every each either neither no none all both another "
    "other others such same few many much more most several one own"
)
_PRONOUNS = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself "
    "she her hers herself it its itself they them their theirs themselves who whom whose which "
    "what anyone anything everyone everything someone something nothing whoever whatever whichever"
)
_PREPOSITIONS = (
    "about above across after against along among amongst around as at before behind below beneath "
    "beside besides between beyond by despite during except for from in into near of off on onto "
    "out over per since through throughout to toward towards under until up upon via with within "
    "without"
)
_CONJUNCTIONS_AND_ADVERBS = (
    "and but or nor so yet if unless because although though whereas while whether than when "
    "whenever where wherever how why not there here then too also very just only even rather"
)
_AUXILIARY_VERBS = (
    "am is are was were be been being do does did have has had having can could will would shall "
    "should might must cannot"
)
_CONTRACTIONS = (
    "isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't can't couldn't won't "
    "wouldn't shan't shouldn't mightn't mustn't needn't ain't let's"
)

_FUNCTION_WORDS = frozenset(
    word
    for words in (
        _ARTICLES_AND_DETERMINERS,
        _PRONOUNS,
        _PREPOSITIONS,
        _CONJUNCTIONS_AND_ADVERBS,
        _AUXILIARY_VERBS,
        _CONTRACTIONS,
    )
    for word in words.split()
)

# What a function word has after an apostrophe: "she'll", "we've", "what's".
_CLITICS = frozenset(("d", "ll", "m", "re", "s", "ve"))


def is_function_word(word: str) -> bool:
    """Return whether a word, in lower case, is a function word of English or a contraction of one.

    The word alone decides: French "or" (gold) and "but" (goal) are function words too.
    """
    plain = word.replace("\u2019", "'")
    start, _, clitic = plain.rpartition("'")
    return plain in _FUNCTION_WORDS or (clitic in _CLITICS and start in _FUNCTION_WORDS)
