"""The workflows of the repository's host, which only run there."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / ".github/workflows"


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((WORKFLOWS / name).read_text())["jobs"])


def list_needs(jobs: dict[str, Any], name: str) -> set[str]:
    """Return all jobs that must succeed before a job."""
    needs = jobs[name].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(list_needs(jobs, job) for job in direct))


def test_every_push_runs_what_ci_runs() -> None:
    """The workflow for pushes runs the same script as any other CI, and so the same checks."""
    (job,) = read("ci.yml").values()
    assert "bash .ci/run" == job["steps"][-1]["run"]


def test_nothing_is_published_untested() -> None:
    """Each job that publishes needs the tests and the build of the same commit."""
    jobs = read("release.yml")
    publishing = jobs.keys() - {"test", "build"}
    assert {"pypi", "npm", "maven", "image", "chart", "github"} == publishing
    assert all({"test", "build"} <= list_needs(jobs, name) for name in publishing)
    assert "./.github/workflows/ci.yml" == jobs["test"]["uses"]


def test_the_image_is_published_for_both_architectures() -> None:
    """The image is built for the architectures that the support page names."""
    steps = read("release.yml")["image"]["steps"]
    (platforms,) = (step["with"]["platforms"] for step in steps if "build-push" in step["uses"])
    page = (ROOT / "SUPPORT.md").read_text()
    assert all(f"`{platform}`" in page for platform in platforms.split(","))
