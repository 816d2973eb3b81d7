"""The `akin` command."""

from __future__ import annotations

from service.cli.backup import back_up
from service.cli.catalogs import catalogs_app
from service.cli.classify import print_labels
from service.cli.clusters import print_clusters
from service.cli.command_group import CommandGroup
from service.cli.connection import set_connection_options
from service.cli.demo import run_demo
from service.cli.duplicates import print_duplicates
from service.cli.evaluate import evaluate
from service.cli.export import export_catalog
from service.cli.import_ import import_file
from service.cli.items import items_app
from service.cli.key import create_key
from service.cli.migrate import migrate_store
from service.cli.models import print_models
from service.cli.outliers import print_outliers
from service.cli.recommend import print_recommendations
from service.cli.reembed import reembed
from service.cli.reindex import reindex
from service.cli.restore import restore
from service.cli.search import print_passages
from service.cli.serve import run_server
from service.cli.status import print_status
from service.cli.trial_certificate import create_certificate
from service.cli.users import users_app
from service.cli.vacuum import vacuum
from service.cli.web_console import serve_console

app = CommandGroup(name="akin", no_args_is_help=True, pretty_exceptions_enable=False)
app.callback()(set_connection_options)
app.command("serve")(run_server)
app.command("demo")(run_demo)
app.command("console")(serve_console)
app.command("import")(import_file)
app.command("export")(export_catalog)
app.add_typer(items_app, name="items")
app.add_typer(users_app, name="users")
app.command("recommend")(print_recommendations)
app.command("search")(print_passages)
app.command("classify")(print_labels)
app.command("duplicates")(print_duplicates)
app.command("outliers")(print_outliers)
app.command("clusters")(print_clusters)
app.command("evaluate")(evaluate)
app.command("models")(print_models)
app.command("status")(print_status)
app.add_typer(catalogs_app, name="catalogs")
app.command("reembed")(reembed)
app.command("reindex")(reindex)
app.command("key")(create_key)
app.command("tls")(create_certificate)
app.command("backup")(back_up)
app.command("restore")(restore)
app.command("vacuum")(vacuum)
app.command("migrate")(migrate_store)
