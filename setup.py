from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="eql_d2",
    version="0.1.0",
    description="Long-tailed recognition in Detectron2: the equalization losses",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["eql_d2", "eql_d2.*"]),
    package_data={"eql_d2.report": ["templates/*", "static/*"]},
    python_requires=">=3.10",
    # torch>=2.1 and Detectron2 are not listed: their builds are the user's choice, and a package
    # index would bring the wrong ones. README, "Install", says how.
    install_requires=[
        "hotcoco>=1.3",
        "jinja2",
        "lvis>=0.5.3",
        "matplotlib",
        "numpy",
        "pycocotools",
    ],
    # Backbones, LAMB, ViTDet and Swin, whose crops need shapely; before 1.0.16 some networks, such
    # as ConvNeXt, give the features of wrong strides
    extras_require={"timm": ["timm>=1.0.16", "shapely"]},
)
