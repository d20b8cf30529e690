"""Finds the packages below the folders that pyproject.toml maps to import names."""

from setuptools import find_packages, setup

ROOTS = {"attnexport": "exporter", "attnexport.plugins": "plugins", "attnexport.calibration": "calibration"}

setup(
    packages=[
        name
        for root, folder in ROOTS.items()
        for name in (root, *(f"{root}.{package}" for package in find_packages(folder)))
    ]
)
