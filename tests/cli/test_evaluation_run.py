import pytest

from service.cli.evaluation_run import EvaluationPlan


@pytest.mark.parametrize(
    ("plan", "names"),
    [
        (EvaluationPlan(["mean", "nearest"]), ["mean", "nearest"]),
        (EvaluationPlan(["mean", "pooled"]), ["pooled", "mean"]),
        (EvaluationPlan(["auto", "mean"]), ["pooled", "mean"]),
        (EvaluationPlan(["mean"], shuffles=True), ["pooled", "mean"]),
        (EvaluationPlan(["mean"], with_cold=True), ["pooled", "mean"]),
        (EvaluationPlan(["popular"], "rating"), ["pooled", "pooled+rating"]),
    ],
)
def test_rankings_by_text(plan: EvaluationPlan, names: list[str]) -> None:
    """The default ranking comes first, and is there for everything that is learned from likes."""
    assert names == list(plan.list_text_rankings())
