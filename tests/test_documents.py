"""What README, Makefile and comments say, where it has been wrong."""

import re
from pathlib import Path

import yaml

from eql_d2 import __version__

ROOT = Path(__file__).parents[1]


def text(path):
    return (ROOT / path).read_text()


def test_q_makefile_readme_and_pyproject_name_the_same_pythons():
    lowest, above = re.findall(r"\(3, (\d+)\)", text("Makefile"))
    named = f"3.{lowest} to 3.{int(above) - 1}"
    assert f"Python {named} is needed" in text("Makefile")
    assert f"Python {named}" in text("README.md")
    assert f'requires-python = ">=3.{lowest}"' in text("pyproject.toml")


def test_changelog_and_citation_name_the_version_and_the_four_papers():
    assert f"\n## [{__version__}] - " in text("CHANGELOG.md")
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == __version__
    papers = {reference["url"] for reference in citation["references"]}
    assert len(papers) == 4 and papers <= set(
        re.findall(r"https://arxiv.org/abs/[\d.]+", text("README.md"))
    )


def test_n_comments_say_where_a_recipe_is_not_the_official_one():
    baseline = text("configs/Base-ImprovedBaseline.yaml")
    assert "Every number" not in baseline
    for difference in ("corner to corner", "batch norms", "normally"):
        assert difference in baseline
    open_images = text("configs/OpenImages-Detection/improved_baseline_R_50_FPN_180k_efl.yaml")
    assert "scale 800 only" in open_images
    eqfl = text("configs/LVISv1-Detection/improved_baseline_R_50_FPN_2x_eqfl.yaml")
    assert eqfl.startswith("# Ours: official EQFL is YOLOX-IP's")
    for path in ("eql_d2/config/defaults.py", "eql_d2/loss_config.py", "eql_d2/losses/eql.py"):
        assert "port" not in re.findall(r"\w+", text(path).lower())


def test_the_files_that_the_readme_names_are_there():
    for path in re.findall(r"\((configs/[^)#]+)\)|`(eql_d2/[\w/.]+)`", text("README.md")):
        assert (ROOT / next(filter(None, path))).exists(), path


def test_the_trainings_of_the_tutorial_have_a_seed():
    commands = re.findall(r"\./train_net\.py (?:.*\\\n)*.*", text("docs/own_data.md"))
    assert len(commands) > 3 and [c for c in commands if " SEED 1 " not in c] == []
    assert "train.update(max_iter=5, seed=1, " in text("docs/lazyconfig.md")
