import pytest

from service.domain.text_formats import (
    TextFormat,
    count_needed_characters,
    read_beginning,
    to_plain_text,
)

HTML = TextFormat.HTML


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        ("<p>Tea &amp; <b>jam</b></p><p>Two</p>", "Tea & jam\n\nTwo"),
        ("no markup, 3 < 4 & 5 > 2", "no markup, 3 < 4 & 5 > 2"),
        ("<ul><li>a<li>b</ul>after", "a\nb\n\nafter"),
        ("<tr><td>Size<td>42</tr><tr><td>Color<td>red", "Size\t42\nColor\tred"),
        ("x<!-- c --><script>alert('<b>')</script><style>p{}</style>y", "xy"),
        ("<div>one<div>two</div></div>three", "one\ntwo\nthree"),
        ("one<br>two<br/><br>three", "one\ntwo\n\nthree"),
        ("<p>a\n\n  b\tc</p>", "a b c"),
        ("<B>bo</B>ld wi<wbr>de so&shy;ft", "bold wide soft"),
        ("<p>unclosed <b>bold<p>next</i>", "unclosed bold\n\nnext"),
        ("&lt;p&gt;shown&lt;/p&gt; &#x1F45F; &euro;5&nbsp;net", "<p>shown</p> 👟 €5 net"),
        ("<html><head><title>T</title></head><body>B</body></html>", "T\n\nB"),
        ("مرحبا <b>بك</b> 你好<i>世界</i>", "مرحبا بك 你好世界"),
        ("<template>no</template><noscript>yes</noscript>", "yes"),
        ("cut in <a href='", "cut in"),
        ("cut <!-- in", "cut"),
        ("<meta charset='utf-16'>é", "é"),
        ("<p> &nbsp; </p><br><img src='x'>", ""),
        ("<script>only()</script>", ""),
        ("", ""),
    ],
)
def test_html_is_read_as_people_see_it(html: str, plain: str) -> None:
    """Tags, comments and scripts are removed, entities decoded, and blocks and cells separated."""
    assert plain == to_plain_text(html, HTML)


def test_a_plain_text_stays_as_it_is() -> None:
    """In the plain format, nothing is taken for markup."""
    text = " <p>5 &lt; 6\n\n"
    assert text == to_plain_text(text, TextFormat.PLAIN)
    assert text[:4] == read_beginning(text, TextFormat.PLAIN, 4)
    assert 4 == count_needed_characters(TextFormat.PLAIN, 4)


def test_the_beginning_of_html_is_of_its_text() -> None:
    """The first characters are counted without markup, as far as the read part has them."""
    html = "<p class='wide'>word</p>" * 100
    needed = count_needed_characters(HTML, 50)
    beginning = read_beginning(html[:needed], HTML, 50)
    assert 50 == len(beginning)
    assert to_plain_text(html, HTML).startswith(beginning)


@pytest.mark.parametrize("element", ["<div>", "<font>", "<b><p>", "<ul><li>", "<table><td>"])
def test_no_text_is_lost_in_deeply_nested_html(element: str) -> None:
    """Every word is read if thousands of elements are never closed, or closed in vain."""
    words = [f"word{number}" for number in range(2_000)]
    html = f" {element}".join(words) + "</i>" * 50_000 + " end"
    assert [*words, "end"] == to_plain_text(html, HTML).split()


def test_words_are_whole_in_long_html() -> None:
    """Text that is parsed in parts has all its words in order."""
    words = [f"word{number}" for number in range(20_000)]
    assert words == to_plain_text("<b>" + "</b> <b>".join(words), HTML).split()
    assert words == to_plain_text(" ".join(words), HTML).split()
    assert "".join(words) == to_plain_text("<wbr>".join(words), HTML)
