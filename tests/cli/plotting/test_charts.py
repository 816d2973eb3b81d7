from pathlib import Path

import pytest
from matplotlib.figure import Figure
from support.disks import largest_file

from service.cli.evaluation_input import SplitSummary
from service.cli.evaluation_metrics import Interval
from service.cli.evaluation_results import Evaluation, Latency, StrategyMetrics
from service.cli.plotting import PlotError, charts, save_figure


def test_names_of_strategies_are_literal(tmp_path: Path) -> None:
    """The name of an attribute is no formula, and its control characters have placeholders."""
    interval = Interval(0.0, 0.3)
    metrics = StrategyMetrics(
        strategy="pooled+$a\\frac$\x1b[31m",
        recall_at_20=0.1,
        recall_at_20_interval=interval,
        ndcg_at_20=0.2,
        ndcg_at_20_interval=interval,
        ndcg_gain=None,
        hit_rate_at_20=0.3,
        coverage_at_10=0.4,
        novelty_at_10=2.0,
        popular_at_10=0.1,
        p50_ms=1.0,
        p95_ms=2.0,
    )
    latency = Latency(1.0, 2.0)
    evaluation = Evaluation(
        people=1,
        items=2,
        split=SplitSummary("held_out", 1),
        strategies=[metrics],
        item_query_ms=latency,
        user_with_50_likes_ms=latency,
        p95_ratio=1.0,
    )
    file = tmp_path / "chart.png"
    charts.draw_chart(file, evaluation)
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("previous", [None, b"an older chart"])
def test_a_chart_that_does_not_fit_leaves_what_was_there(
    tmp_path: Path, previous: bytes | None
) -> None:
    """If a chart cannot be written, an older one stays, and no half written one is left."""
    file = tmp_path / "chart.png"
    if previous is not None:
        file.write_bytes(previous)
    figure = Figure()
    with largest_file(100), pytest.raises(PlotError, match="File too large"):
        save_figure(file, figure)
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert ({} if previous is None else {"chart.png": previous}) == contents


def test_a_chart_keeps_the_mode_of_the_file_it_replaces(tmp_path: Path) -> None:
    """A new chart has the mode of the one before, also behind a link."""
    file, link = tmp_path / "chart.png", tmp_path / "link.png"
    file.touch()
    file.chmod(0o640)
    link.symlink_to(file)
    save_figure(link, Figure())
    assert file.read_bytes().startswith(b"\x89PNG")
    assert 0o640 == file.stat().st_mode & 0o777
    assert link.is_symlink()
