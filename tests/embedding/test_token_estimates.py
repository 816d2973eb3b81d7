import random
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from service.embedding.providers import MAX_CONTEXT_SHARE
from service.embedding.token_estimates import WEIGHT_PER_TOKEN, estimate_tokens, weigh

RANDOM = random.Random(1)


def number(digits: int) -> str:
    return str(RANDOM.randrange(10 ** (digits - 1), 10**digits))


def code(length: int, letters: str = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") -> str:
    return "".join(RANDOM.choice(letters) for _ in range(length))


TEXTS = {
    "part numbers": ", ".join(f"AB-{number(5)}/X{number(2)}" for _ in range(90)),
    "product codes": " ".join(number(13) for _ in range(90)),
    "table in HTML": "".join(f"<tr><td>EU {n}</td><td>{n + 21.5} cm</td></tr>" for n in range(60)),
    "table in Markdown": "\n".join(f"| {n} | {n * 3} | {n * 7} mm |" for n in range(80)),
    "sizes": ", ".join(f"{number(2)}x{number(2)}x{number(1)} mm" for _ in range(90)),
    "hexadecimal": " ".join(code(32, "0123456789abcdef") for _ in range(30)),
    "capitals": "LIGHT TRAIL RUNNING SHOES WITH A GRIPPY SOLE, FOR WET ROCK. " * 20,
    "addresses": " ".join(
        f"https://cdn.example.com/p/{number(6)}/img_{number(2)}.jpg?w=640&h=480" for _ in range(40)
    ),
    "JSON": ", ".join(f'{{"sku": "A{n}", "price": {n}.99, "stock": true}}' for n in range(60)),
    "rules": "-----|-----|=====\n" * 60,
    "prose": "Light trail running shoes with a grippy sole, for wet rock and long days. " * 20,
    "German": "Leichte Laufschuhe mit griffiger Sohle, gemacht für nasse Felsen und Hügel. " * 20,
    "Russian": "Лёгкие кроссовки для бега по пересечённой местности с цепкой подошвой. " * 20,
    "Chinese": "这款轻便的越野跑鞋鞋底抓地力很强，适合湿滑的岩石和山里的长途跋涉。" * 20,
    "Japanese": "濡れた岩や長い山歩きに適した、グリップ力の高い軽量シューズです。" * 20,
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    folder = Path(str(resources.files("service.embedding") / "model"))
    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    loaded.no_truncation()
    return loaded


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_of_every_kind_fit_into_a_context_of_512_tokens(
    tokenizer: Tokenizer, kind: str
) -> None:
    """A text that fills a chunk by the estimate has no more tokens than the model's context."""
    text = TEXTS[kind]
    share = len(tokenizer.encode(text).ids) / estimate_tokens(text)
    assert share * MAX_CONTEXT_SHARE * 512 <= 512


def test_prose_is_not_overestimated_much() -> None:
    """English prose has at most one token in three bytes, or long texts get needless chunks."""
    assert estimate_tokens(TEXTS["prose"]) <= len(TEXTS["prose"]) / 2.9


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_texts_have_the_weights_of_their_characters(text: str) -> None:
    """The fast estimate of ASCII texts is the sum of the weights of their characters."""
    assert int(weigh(text).sum()) // WEIGHT_PER_TOKEN + 1 == estimate_tokens(text)


def test_a_longer_text_has_no_fewer_tokens() -> None:
    """The estimate grows with the text."""
    for text in TEXTS.values():
        estimates = [estimate_tokens(text[:end]) for end in range(0, 400, 7)]
        assert sorted(estimates) == estimates
