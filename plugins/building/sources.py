"""The CUDA and C++ sources, and which of them make which library: tensorrt/libraries.json, which CMake reads too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnexport.errors import InputError

APIS = {"v3": ("v3", "static"), "v2": ("v2",), "none": ("none",)}
"""Plugin interfaces to build for, IPluginV3, IPluginV2DynamicExt or the kernels alone; of each the libraries as
libraries.json names them, the one that names a build first."""


@dataclass(frozen=True)
class Recipe:
    """What makes one library beside the kernels and the table of operators.

    Attributes:
        file_name: the library's.
        version_script: below ``tensorrt/``; says what the library exports.
        adapters: sources below ``tensorrt/``, in the order they are linked: what registers itself comes last, after
            the kernels have filled the table of operators.
        stays_loaded: whether the library must never be unloaded, because a registry keeps pointers into it.
    """

    file_name: str
    version_script: str
    adapters: tuple[str, ...]
    stays_loaded: bool


@dataclass(frozen=True)
class Sources:
    """A folder laid out as this package's: include, kernels, tensorrt.

    Attributes:
        root: the folder. Default: this package's own.
    """

    root: Path = Path(__file__).parents[1]

    @property
    def include_options(self) -> tuple[str, str]:
        """Compiler options that find ``attnexport/op.h`` and the kernels' headers, ``common/platform.cuh`` for one."""
        return f"-I{self.root / 'include'}", f"-I{self.root / 'kernels'}"

    @property
    def registry(self) -> Path:
        """The source that holds the table of operators and the build's own description."""
        return self.root / "kernels" / "common" / "registry.cpp"

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """Names of the kernel files, which are those of the variants."""
        return tuple(sorted(path.stem for path in (self.root / "kernels").glob("*.cu")))

    def kernel(self, name: str) -> Path:
        """The file of one variant's kernels."""
        return self.root / "kernels" / f"{name}.cu"

    def hopper_kernel(self, name: str) -> Path | None:
        """The file of a variant's kernels of Hopper's own instructions; None where it has none."""
        path = self.root / "kernels" / "sm90" / f"{name}.cu"
        return path if path.is_file() else None

    def adapter(self, file_name: str) -> Path:
        """A source or version script of the TensorRT adapters."""
        return self.root / "tensorrt" / file_name

    def recipes(self, api: str) -> tuple[Recipe, ...]:
        """The libraries of a plugin interface, the one that names a build first.

        Raises:
            InputError: a source is missing from the folder.
        """
        listed = self.adapter("libraries.json")
        _check_there(listed)
        given = json.loads(listed.read_text())
        recipes = tuple(_recipe(given, name) for name in APIS[api])
        _check_there(self.registry)
        for recipe in recipes:
            _check_there(*map(self.adapter, (recipe.version_script, *recipe.adapters)))
        return recipes


def library_names(api: str) -> tuple[str, ...]:
    """File names of the libraries of a plugin interface."""
    return tuple(recipe.file_name for recipe in Sources().recipes(api))


def _recipe(given: dict[str, Any], name: str) -> Recipe:
    library = given["libraries"][name]
    return Recipe(
        file_name=f"lib{library['name']}.so",
        version_script=library["version_script"],
        adapters=(*given["adapters"][library["adapter"]], *library["exports"]),
        stays_loaded=library["stays_loaded"],
    )


def _check_there(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: expected a source of the plugin library, found none")
