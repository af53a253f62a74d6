"""What a wheel holds; the rest is in pyproject.toml, which cannot move configs/ into a package."""

from setuptools import find_packages, setup

CONFIGS = "eql_d2.model_zoo.configs"

setup(
    packages=[*find_packages(include=["eql_d2", "eql_d2.*"]), CONFIGS],
    py_modules=["eql_d2_cli"],
    package_dir={CONFIGS: "configs"},
    package_data={
        CONFIGS: ["**/*.yaml", "**/*.py"],
        "eql_d2.report": ["templates/*", "static/*"],
    },
)
