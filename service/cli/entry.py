"""Entry point of the `akin` command: standard streams, interruptions and exit statuses."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from service.domain.printable import to_line
from service.environment import set_default

# Exit statuses that shells report for programs that SIGPIPE and SIGINT end.
BROKEN_PIPE_STATUS = 141
INTERRUPTED_STATUS = 130

# What writing to standard output fails with; errors of files name their file.
_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})

# The options before a command that have no value.
_FLAGS = frozenset({"--tls", "--version", "--help"})

_STREAM_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def main() -> NoReturn:
    """Run the command of the command line and end the process with its exit status.

    An interruption, a broken pipe and errors of files and of the output end it without a traceback.
    """
    open_closed_streams()
    # typer replaces the streams after a broken pipe.
    streams = (sys.stdout, sys.stderr)
    for stream in (sys.stdin, *streams):
        # An encoding without a character prints a question mark for it. What is typed and has
        # bytes of another encoding is read with U+FFFD for them; files are read as bytes.
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    _silence_grpc()
    try:
        status = _check_client() or _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _report("akin: interrupted", INTERRUPTED_STATUS)
    except BrokenPipeError:
        status = BROKEN_PIPE_STATUS
    except OSError as exc:
        status = _report(f"akin: {describe_os_error(exc)}", 1)
    _end(status, streams)


def open_closed_streams() -> None:
    """Open the null device on each standard stream that is closed.

    Otherwise the next file that opens would take its number, and receive what is meant for people.
    """
    for number, (name, mode) in enumerate(_STREAM_MODES.items()):
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            # The stream lives as long as the process.
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def describe_os_error(exc: OSError) -> str:
    """Return an error of the operating system in one line, with the path if it has one."""
    reason = exc.strerror or str(exc)
    if exc.filename is not None:
        return f"{os.fsdecode(exc.filename)}: {reason}"
    return f"cannot write the output: {reason}" if exc.errno in _OUTPUT_ERRORS else reason


def _silence_grpc() -> None:
    """Keep gRPC from printing lines of its own beside the messages of a command.

    A server prints them. gRPC reads the variable when it is imported, which is before the command
    line is parsed.
    """
    if _find_command(sys.argv[1:]) != "serve":
        set_default("GRPC_VERBOSITY", "NONE")


def _find_command(words: Sequence[str]) -> str:
    """Return the first word that is no option and no value of one; empty if there is none."""
    is_value = False
    for word in words:
        if not word.startswith("-") and not is_value:
            return word
        is_value = word.startswith("--") and "=" not in word and word not in _FLAGS
    return ""


def _check_client() -> int:
    """Return 2, after a message, if a package of another project takes the place of the client."""
    import akin  # noqa: PLC0415  (slow to import, as below)

    if hasattr(akin, "Client"):
        return 0
    return _report(
        "akin: the Python package akin is that of another project: run `pip uninstall akin`, then "
        "`pip install --force-reinstall --no-deps akin-client`",
        2,
    )


def _run() -> int:
    """Run the command and return its exit status."""
    # Slow to import: an interruption during the import must not print a traceback.
    import typer  # noqa: PLC0415

    from service.cli.main import app  # noqa: PLC0415

    try:
        # Without the mode, typer prints errors in boxes that break paths, and exits itself.
        status = app(prog_name="akin", standalone_mode=False) or 0
        # typer turns an interruption into this status.
        return _report("akin: interrupted", status) if status == INTERRUPTED_STATUS else status
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort:
        return _report("akin: aborted", 1)
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # typer exits with status 1 then
            return BROKEN_PIPE_STATUS
        return exc.code if isinstance(exc.code, int) else 1
    except Exception as exc:
        if not hasattr(exc, "format_message"):  # typer has no public name for its usage errors
            raise
        return _report_usage_error(exc)


def _report_usage_error(exc: Any) -> int:  # noqa: ANN401  (typer has no public name for the type)
    context = getattr(exc, "ctx", None)
    command = context.command_path if context else "akin"
    message, status = exc.format_message(), int(exc.exit_code)
    if not message:  # a command that needs arguments and has none has printed its help
        return status
    return _report(f"{command}: {message} ({command} --help prints the usage)", status)


def _report(line: str, status: int) -> int:
    """Print a line if standard error still works, and return the exit status."""
    with suppress(OSError):
        sys.stderr.write(f"{to_line(line)}\n")
    return status


def _end(status: int, streams: Sequence[TextIO]) -> NoReturn:
    """End the process; drop output that cannot be written, which would fail the interpreter."""
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            _drop_output(stream)
    sys.exit(status)


def _drop_output(stream: TextIO) -> None:
    with open(os.devnull, "w", encoding="utf-8") as null:  # noqa: PTH123  (os.devnull is a name)
        os.dup2(null.fileno(), stream.fileno())
