"""The configs of the zoo."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs"
# Parts of configs, files of studies, and what trains on generated or on any data
_NO_ZOO = {"common", "Study", "Demo", "quick_schedules"}


def leaves() -> list[Path]:
    """Each config of an experiment, .yaml and .py."""
    return sorted(
        path
        for path in FOLDER.glob("*/*")
        if path.suffix in (".yaml", ".py")
        and path.parent.name not in _NO_ZOO
        and not path.name.lower().startswith("base")
    )


def name_of(config: Path) -> str:
    return str(config.relative_to(FOLDER)) if config.is_relative_to(FOLDER) else str(config)
