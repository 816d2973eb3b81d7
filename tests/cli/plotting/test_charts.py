from pathlib import Path

from service.cli.evaluation_metrics import Evaluation, Latency, StrategyMetrics
from service.cli.plotting import charts


def test_names_of_strategies_are_literal(tmp_path: Path) -> None:
    """The name of an attribute is no formula, and its control characters have placeholders."""
    metrics = StrategyMetrics("pooled+$a\\frac$\x1b[31m", 0.1, 0.2, 0.3, 0.4, 1.0, 2.0)
    latency = Latency(1.0, 2.0)
    evaluation = Evaluation(
        people=1,
        items=2,
        strategies=[metrics],
        item_query_ms=latency,
        user_with_50_likes_ms=latency,
        p95_ratio=1.0,
    )
    file = tmp_path / "chart.png"
    charts.draw_chart(file, evaluation)
    assert file.read_bytes().startswith(b"\x89PNG")
