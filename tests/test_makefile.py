"""What `make clean` removes, and what it must not."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

MADE = (
    *(".venv/bin/python", ".ruff_cache/x", "eql_d2.egg-info/x", "eql_d2/__pycache__/a.pyc"),
    *("output/demo/twostage/report.html", "output/study/law/table.md", "build/docs/index.html"),
    *("datasets/glyphs/train.json", "datasets/glyph_maps/classes.txt"),
)
OF_OTHERS = (
    *("output/model_final.pth", "output/study/mine/table.md", "datasets/coco/annotations.json"),
    *("output/eqlv2/metrics.json", "build/report.pdf", "dist/mine.whl", "mine/__pycache__/a.pyc"),
)


def clean(folder, *files):
    shutil.copy(ROOT / "Makefile", folder)
    for path in (folder / "configs/Study/law.yaml", *(folder / file for file in files)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for source in ("eql_d2", "tests", "docs"):
        (folder / source).mkdir(exist_ok=True)
    subprocess.run(["make", "-s", "clean"], cwd=folder, check=True)


def test_clean_removes_what_the_makefile_made_alone(tmp_path):
    clean(tmp_path, *MADE, *OF_OTHERS)
    assert [file for file in MADE if (tmp_path / file).exists()] == []
    assert [file for file in OF_OTHERS if not (tmp_path / file).exists()] == []


def test_clean_leaves_no_empty_folders(tmp_path):
    clean(tmp_path, *MADE)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"Makefile", "configs", "docs", "eql_d2", "tests"}
