import json
from collections.abc import Iterator
from pathlib import Path

import akin
import pytest
from support import command
from support.provider import ScriptedProvider
from support.server import RunningServer
from support.waiting import until

from service.embedding.token_estimates import estimate_tokens

HTML = akin.TextFormat.TEXT_FORMAT_HTML
SHOE = "<h1>Trail shoe</h1><p>Light, with a <b>grippy</b> sole &amp; lugs.</p><script>x</script>"
SHOE_TEXT = "Trail shoe\n\nLight, with a grippy sole & lugs."


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def start(folder: Path, provider: ScriptedProvider) -> RunningServer:
    return RunningServer(
        folder,
        OPENROUTER_API_KEY="sk-or-test",
        EMBEDDING_BASE_URL=provider.url,
        EMBEDDING_MODEL="someone/model",
    )


def run(server: RunningServer, *words: str) -> str:
    done = command.run(*words, "--address", server.address, folder=server.folder)
    assert 0 == done.status, done.stderr
    return done.stdout.decode()


def test_html_is_embedded_without_markup(tmp_path: Path, provider: ScriptedProvider) -> None:
    """The provider gets the text without markup, once; the item, preferences and queries stay."""
    with start(tmp_path, provider) as server, server.client(catalog="shop") as client:
        created = client.create_catalog("shop", text_format=HTML)
        assert HTML == created.text_format
        assert akin.TextFormat.TEXT_FORMAT_PLAIN == client.get_catalog("default").text_format
        client.upsert_item("shoe", SHOE)
        assert SHOE_TEXT in provider.texts
        again = client.upsert_item("copy", SHOE.replace("<p>", "<p class='wide'>"))
        assert (1, 1) == (again.usage.text_count, again.usage.cached_text_count)
        client.update_item("copy", text=f"<i>{SHOE}</i>")
        assert 1 == provider.texts.count(SHOE_TEXT)
        assert SHOE == client.get_item("shoe").text
        client.upsert_user("u", ["<b>bold</b>"])
        hits = client.recommend_similar(text=SHOE_TEXT).recommendations
        assert 1.0 == pytest.approx(hits[0].score, abs=1e-3)
        client.recommend_similar(text="<i>query</i>")
        assert {"<b>bold</b>", "<i>query</i>"} <= set(provider.texts)


def test_html_without_text_is_rejected(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A write fails and names the field; of an import, also if it only validates, one line does."""
    blank = "<p> <img src='x'><script>y()</script>"
    with start(tmp_path, provider) as server, server.client(catalog="shop") as client:
        client.create_catalog("shop", text_format=HTML)
        client.upsert_item("shoe", SHOE)
        for write in (
            lambda: client.upsert_item("blank", blank),
            lambda: client.update_item("shoe", text=blank),
        ):
            with pytest.raises(akin.AkinError) as caught:
                write()
            assert "INVALID_ARGUMENT" == caught.value.code.name
            (violation,) = caught.value.violations
            assert "item.text" == violation.field
            assert "outside of markup" in violation.description
        for validate_only in (True, False):
            items = [akin.item("a", "<p>a"), akin.item("b", blank), akin.item("c", "<p>c")]
            results = list(client.import_items(items, validate_only=validate_only))
            assert [0, 3, 0] == [result.code for result in results]
        assert ["a", "c", "shoe"] == sorted(item.item_id for item in client.list_items().items)
        client.create_catalog("plain")
        with server.client(catalog="plain") as plain:
            plain.upsert_item("blank", blank)
        assert blank in provider.texts


def test_analyses_read_html_without_markup(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Near-duplicates, keywords and passages are of the text that readers see."""
    markup = "<span class='very long markup that both of two unlike texts have'>"
    texts = {
        "a": f"{markup}<p>Light trail shoes with a grippy sole for wet rock</p>",
        "b": "<div>Light trail shoes<br>with a <b>grippy</b> sole for wet rock</div>",
        "c": f"{markup}<p>Iron pan</p>",
        "d": f"{markup}<ul><li>Iron pan<li>with lid</ul>",
    }
    with start(tmp_path, provider) as server, server.client(catalog="shop") as client:
        client.create_catalog("shop", text_format=HTML)
        for item_id, text in texts.items():
            client.upsert_item(item_id, text)
        events = list(client.find_duplicates(min_similarity=-1.0))
        groups = [[item.item_id for item in group.items] for group in events[-1].groups.groups]
        assert [["a", "b"]] == groups
        hits = client.recommend_similar(item_id="c", max_similarity=-1.0).recommendations
        assert 1 == len({"a", "b"} & {hit.item_id for hit in hits})
        keywords = {
            word
            for cluster in client.cluster_items(cluster_count=1).clusters
            for word in cluster.keywords
        }
        assert "grippy" in keywords
        assert not {"span", "class", "markup", "div"} & keywords
        passages = client.search_passages("Iron pan\nwith lid").passages
        (passage,) = [passage for passage in passages if passage.item_id == "d"]
        assert "Iron pan\nwith lid" == passage.text
        assert (0, len(passage.text)) == (passage.start_offset, passage.end_offset)


def test_the_format_outlives_restarts_and_reembeddings(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """The next generation is embedded without markup as well, and a blank text is no obstacle."""
    with start(tmp_path, provider) as server, server.client(catalog="shop") as client:
        client.create_catalog("shop", text_format=HTML)
        client.upsert_item("shoe", SHOE)
    with start(tmp_path, provider) as server, server.client(catalog="shop") as client:
        assert HTML == client.get_catalog().text_format
        estimate = client.estimate_reembedding(model="someone/other")
        assert estimate_tokens(SHOE_TEXT) == estimate.prompt_token_count
        client.start_reembedding(model="someone/other")
        serving = akin.ReembeddingState.REEMBEDDING_STATE_SERVING
        until(lambda: client.get_reembedding().state == serving)
        assert ("someone/other", HTML) == (
            client.get_catalog().space.model,
            client.get_catalog().text_format,
        )
        assert 2 == provider.texts.count(SHOE_TEXT)
        assert not [text for text in provider.texts if "<h1>" in text]
        client.upsert_item("shoe", SHOE)
        assert 2 == provider.texts.count(SHOE_TEXT)


def test_an_unknown_format_is_rejected(tmp_path: Path) -> None:
    """A number without a meaning fails and names the field."""
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        with pytest.raises(akin.AkinError) as caught:
            client.create_catalog("new", text_format=9)  # type: ignore[arg-type]
        assert ["text_format"] == [violation.field for violation in caught.value.violations]
        run(server, "catalogs", "create", "shop", "--text-format", "html")
        listed = json.loads(run(server, "catalogs", "list", "--json"))
        formats = {catalog["name"]: catalog["text_format"] for catalog in listed}
        assert {"default": "TEXT_FORMAT_PLAIN", "shop": "TEXT_FORMAT_HTML"} == formats


def test_texts_that_the_local_model_does_not_know_are_reported(tmp_path: Path) -> None:
    """The share is in the statistics, the status and, once for a catalog, in the log."""
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        for number in range(3):
            client.upsert_item(f"en{number}", f"Light running shoes {number}")
        assert 0.0 == client.get_catalog().unknown_text_ratio
        assert "local model" not in run(server, "status")
        client.upsert_item("ru", "Лёгкие беговые кроссовки")
        assert 0.25 == client.get_catalog().unknown_text_ratio
        assert "does not know the script of 25% of the latest items" in run(server, "status")
        warning = server.wait_for("texts_unknown_to_local_model")
        assert ("default", "warning") == (warning["catalog"], warning["level"])
        assert "кроссовки" not in "".join(server.log)
        client.create_catalog("other")
        with server.client(catalog="other") as other:
            other.upsert_item("el", "Ελαφριά παπούτσια")
        assert "other" == server.wait_for("texts_unknown_to_local_model", 2)["catalog"]
        client.delete_item("ru")
        assert 0.0 == client.get_catalog().unknown_text_ratio
        client.upsert_item("ru", "Лёгкие беговые кроссовки")
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        assert 0.25 == client.get_catalog().unknown_text_ratio
        server.wait_for("texts_unknown_to_local_model", 2)
        names = [event["catalog"] for event in server.events("texts_unknown_to_local_model")]
        assert ["default", "other"] == sorted(names)


def test_other_models_report_no_unknown_texts(tmp_path: Path, provider: ScriptedProvider) -> None:
    """The model of a provider may know any script."""
    with start(tmp_path, provider) as server, server.client() as client:
        client.upsert_item("ru", "Лёгкие беговые кроссовки")
        assert 0.0 == client.get_catalog().unknown_text_ratio
