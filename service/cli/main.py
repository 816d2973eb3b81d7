"""The `akin` command."""

from __future__ import annotations

import typer

from service.cli.backup import backup
from service.cli.catalogs import catalogs
from service.cli.classify import classify
from service.cli.clusters import clusters
from service.cli.connection import connection
from service.cli.demo import demo
from service.cli.duplicates import duplicates
from service.cli.evaluate import evaluate
from service.cli.import_ import import_
from service.cli.key import key
from service.cli.models import models
from service.cli.outliers import outliers
from service.cli.recommend import recommend
from service.cli.reembed import reembed
from service.cli.restore import restore
from service.cli.search import search
from service.cli.serve import serve
from service.cli.status import status

app = typer.Typer(
    name="akin",
    help="Akin: texts in over gRPC, recommendations out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.callback()(connection)
app.command()(serve)
app.command()(demo)
app.command("import")(import_)
app.command()(recommend)
app.command()(search)
app.command()(classify)
app.command()(duplicates)
app.command()(outliers)
app.command()(clusters)
app.command()(evaluate)
app.command()(models)
app.command()(status)
app.add_typer(catalogs, name="catalogs")
app.command()(reembed)
app.command()(key)
app.command()(backup)
app.command()(restore)
