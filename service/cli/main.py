"""The `akin` command."""

from __future__ import annotations

import typer

from service.cli.serve import serve

app = typer.Typer(
    name="akin",
    help="Akin: texts in over gRPC, recommendations out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)


@app.callback()
def _main() -> None:
    pass


if __name__ == "__main__":
    app()
