"""The demo, run as a person and as a script would."""

import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from support.browser import require_console
from support.command import run, run_on_terminal

from service.cli.demo import SAMPLE_BOOKS
from service.cli.demo_topics import COPIED_ITEM, COPY_ID, TOPICS
from service.embedding.local import LOCAL_MODEL


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints without a terminal."""
    done = run("demo", folder=tmp_path_factory.mktemp("demo"), variables={"AKIN_EMBEDDER": "local"})
    assert 0 == done.status, done.stderr
    return done.stdout.decode()


def test_books_are_shown_by_whole_titles_and_authors(output: str) -> None:
    """No title is cut, and every answer names the model and its time."""
    assert "│ The Hitchhiker's Guide to the Galaxy │" in output
    assert "│ Mastering the Art of French Cooking │" in output
    tables = output.count("┡")
    answers = re.findall(rf"Answered in [0-9.]+ ms with {LOCAL_MODEL} \(local", output)
    assert tables == len(answers) == 7


def test_without_a_terminal_the_demo_shows_every_topic_and_ends(output: str) -> None:
    """Filter, price, near-duplicates and re-embedding each have their result."""
    all_languages, chosen = output.partition("Filter by")[2].split("┡")[1:3]
    assert "│ en " in all_languages
    assert 4 == len(re.findall(r"│ (?:ja|sv) ", chosen))
    assert "│ en " not in chosen
    assert "0 embedded, 1 reused: 0 US dollars" in output
    assert "1 embedded, 0 reused: 0 US dollars" in output
    assert f"{COPIED_ITEM} and {COPY_ID}: similarity 0.9" in output
    _, all_books, distinct_books = output.partition("find_duplicates()")[2].split("┡")[:3]
    assert 2 == all_books.count("│ Salt Fat Acid Heat ")
    assert 1 == distinct_books.count("│ Salt Fat Acid Heat ")
    assert re.search(r"336 books embedded again in .*\n[1-9][0-9]* calls were answered", output)
    assert "The former vectors serve again" in output


def test_the_demo_ends_with_commands_that_exist(output: str, tmp_path: Path) -> None:
    """The file to import is named from the folder of the reader, and the commands have help."""
    end = output.rpartition("has stopped")[2]
    commands = re.findall(r"^  \S*akin (\w+)", end, re.MULTILINE)
    assert ["serve", "import", "recommend"] == commands
    for command in commands:
        assert 0 == run(command, "--help", folder=tmp_path).status
    (file,) = re.findall(r"akin import (\S+\.jsonl)", output)
    assert file.endswith(SAMPLE_BOOKS.name)
    assert end.splitlines()[-1].endswith(": make demo CONSOLE=1")


def test_every_command_is_named_as_the_reader_can_run_it(output: str) -> None:
    """The hints of the topics and of the end start the program in the same way."""
    hints = re.findall(r"^  (\S*akin) (\w+)", output, re.MULTILINE)
    commands = ["models", "import", "reembed", "reembed", "serve", "import", "recommend"]
    assert commands == [command for _, command in hints]
    assert 1 == len({program for program, _ in hints})


def test_a_terminal_has_a_menu(tmp_path: Path) -> None:
    """A number shows its topic, other words are a question, and an empty line ends the demo."""
    status, received = run_on_terminal(
        "demo", folder=tmp_path, keys="2\nvampires\n\n", AKIN_EMBEDDER="local", COLUMNS="150"
    )
    assert 0 == status
    output = received.decode()
    assert 3 == output.count("Enter to end: ")
    assert all(output.count(f"{n}  {topic.title}") == 3 for n, topic in enumerate(TOPICS, start=1))
    assert "0 embedded, 1 reused" in output
    assert "supplier" not in output
    assert 'recommend_similar(text="vampires"' in output
    assert "has stopped" in output


def test_an_entry_that_is_no_choice_is_answered_in_one_line(tmp_path: Path) -> None:
    """The menu comes again after an unknown number and a text without a known word."""
    status, received = run_on_terminal(
        "demo", folder=tmp_path, keys="9\nq\n吸血鬼\n\n", AKIN_EMBEDDER="local", COLUMNS="150"
    )
    assert 0 == status
    answers = received.decode().replace("\r", "").split("Enter to end: ")[1:-1]
    lines = [answer.split("\n\n  1  ")[0].strip() for answer in answers]
    hint = "is not in the menu: enter a number from 1 to 4, a question, or nothing to end"
    assert [f"9 {hint}", f"q {hint}"] == lines[:2]
    assert "the text has no word that the embedding model knows: try other words" in lines[2]
    assert "has stopped" in received.decode()


def test_a_question_in_another_encoding_is_answered(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 do not end the demo; they are shown as unknown characters."""
    status, received = run_on_terminal(
        "demo", folder=tmp_path, keys="caf\udce9 novel\n\n", AKIN_EMBEDDER="local", COLUMNS="150"
    )
    output = received.decode(errors="replace")  # the terminal shows what is typed
    assert 0 == status, output
    assert 'recommend_similar(text="caf\ufffd novel"' in output
    assert "has stopped" in output


def test_captions_end_where_the_terminal_ends(tmp_path: Path) -> None:
    """On 80 columns, the line below a table that is narrower is not broken."""
    status, received = run_on_terminal(
        "demo", "--all", folder=tmp_path, AKIN_EMBEDDER="local", COLUMNS="80"
    )
    assert 0 == status
    captions = re.findall(r"Answered in .*", received.decode())
    assert 7 == len(captions)
    assert [] == [caption for caption in captions if "dimensions)" not in caption]


def test_the_menu_can_be_left_out(tmp_path: Path) -> None:
    """With --all, a terminal gets what a script gets."""
    status, received = run_on_terminal("demo", "--all", folder=tmp_path, AKIN_EMBEDDER="local")
    assert 0 == status
    assert b"Enter to end" not in received
    assert b"The former vectors serve again" in received


def test_a_terminal_can_have_the_console_until_it_is_interrupted(tmp_path: Path) -> None:
    """With --console, the catalog of the demo is served after the menu, and Ctrl-C ends that."""
    require_console()
    responses: list[httpx.Response] = []

    def interrupt(received: bytes, process: subprocess.Popen[bytes]) -> None:
        url = re.search(rb"The console is at (http://\S+)/#/default/\S*\s", received)
        if url and not responses:
            paths = ("/", "/v1/catalogs/default/items?page_size=1")
            responses.extend(httpx.get(url[1].decode() + path, trust_env=False) for path in paths)
            process.send_signal(signal.SIGINT)

    variables = {"AKIN_EMBEDDER": "local", "AKIN_CATALOG": "other", "AKIN_API_KEY": "of-another"}
    status, received = run_on_terminal(
        "demo", "--console", folder=tmp_path, keys="\n", watch=interrupt, **variables
    )
    page, items = responses
    assert "<title>Akin console</title>" in page.text
    assert 336 == int(items.json()["totalSize"])
    assert 0 == status
    assert b"has stopped" in received


def test_without_a_terminal_the_demo_does_not_wait_for_the_console(tmp_path: Path) -> None:
    """A script ends after the topics, and serves nothing."""
    done = run("demo", "--console", folder=tmp_path, variables={"AKIN_EMBEDDER": "local"})
    assert 0 == done.status, done.stderr
    assert b"The console is at" not in done.stdout
    assert b"has stopped" in done.stdout
    assert b"CONSOLE=1" not in done.stdout
