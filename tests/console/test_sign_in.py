"""Keys: sign-in, what a key may do, and where it is kept."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.browser import ConsoleServer, import_samples, open_page
from support.security import entry, write_keys


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ConsoleServer]:
    """A server with a key for each scope, and one for another catalog."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys.json"
    write_keys(
        keys,
        entry("reader", "read"),
        entry("writer", "read", "write"),
        entry("owner", "read", "write", "admin"),
        entry("guest", "read", catalogs=["default"]),
    )
    with ConsoleServer(folder, API_KEYS=str(keys)) as running:
        with running.client(api_key="writer-key") as client:
            import_samples(client)
        yield running


# The answers that say what a key may not do are errors for the browser's own log.
REFUSALS = ("/v1/catalogs",)


def sign_in(page: Page, server: ConsoleServer, key: str, name: str = "items") -> None:
    page.goto(server.link(name))
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_wrong_key_is_refused(browser: Browser, guarded: ConsoleServer) -> None:
    """A key that the server does not know leads back to the form, with the reason."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, "wrong-key")
        page.get_by_role("alert").wait_for()
        assert page.get_by_role("heading", name="Sign in").is_visible()
        assert 0 == page.evaluate("sessionStorage.length")


def test_key_of_other_letters_is_refused(browser: Browser, guarded: ConsoleServer) -> None:
    """A key that no header can have is not sent, and the form says why."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, "ключ")
        page.get_by_role("alert").get_by_text("no other letters").wait_for()
        assert 0 == page.evaluate("sessionStorage.length")


@pytest.mark.parametrize(
    ("key", "may_write", "may_manage"),
    [("reader-key", 0, 0), ("writer-key", 1, 0), ("owner-key", 1, 1), ("guest-key", 0, 0)],
)
def test_only_what_the_key_may_do_is_offered(
    browser: Browser, guarded: ConsoleServer, key: str, may_write: int, may_manage: int
) -> None:
    """The page offers writes and settings only to keys whose scopes allow them."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, key)
        page.get_by_text("336 items").wait_for()
        assert may_write == page.get_by_role("button", name="Upload a file").count()
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("heading", name="How the catalog recommends").wait_for()
        assert may_manage == page.get_by_role("button", name="Change the settings").count()


def test_a_refused_catalog_is_not_shown(browser: Browser, guarded: ConsoleServer) -> None:
    """A catalog that the key is not for leads to the form, and nothing of the former one stays."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, "guest-key")
        page.get_by_text("336 items").wait_for()
        page.goto(guarded.link("items", catalog="shop"))
        page.get_by_role("alert").get_by_text("not for this catalog").wait_for()
        assert page.get_by_role("heading", name="Sign in").is_visible()
        assert 0 == page.get_by_text("336 items").count()


def test_the_view_of_a_former_key_is_gone(browser: Browser, guarded: ConsoleServer) -> None:
    """After signing out, a key that is refused opens nothing that the former key has shown."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, "owner-key")
        page.get_by_text("336 items").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("API key").fill("guest-key")
        page.get_by_label("Catalog").fill("shop")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").get_by_text("not for this catalog").wait_for()
        assert page.get_by_role("heading", name="Sign in").is_visible()
        assert 0 == page.get_by_role("button", name="Upload a file").count()


def test_key_stays_in_the_session(browser: Browser, guarded: ConsoleServer) -> None:
    """The key is in no address, cookie or lasting storage, and gone after signing out."""
    with open_page(browser, allowed=REFUSALS) as page:
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        sign_in(page, guarded, "writer-key", "explore")
        page.get_by_role("list", name="Items").wait_for()
        assert "writer-key" not in " ".join([page.url, *addresses])
        assert [] == page.context.cookies()
        assert 0 == page.evaluate("localStorage.length")
        page.reload()
        page.get_by_role("list", name="Items").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert 0 == page.evaluate("sessionStorage.length")


def test_snippets_do_not_show_the_key(browser: Browser, guarded: ConsoleServer) -> None:
    """Code to copy reads the key from a variable."""
    with open_page(browser, allowed=REFUSALS) as page:
        sign_in(page, guarded, "reader-key", "explore")
        page.get_by_role("list", name="Items").get_by_role("button").first.click()
        side = page.get_by_role("region", name="Setting A")
        side.get_by_text("Request A as code").click()
        assert "$AKIN_API_KEY" in side.locator("pre").inner_text()
        assert "reader-key" not in page.content()
