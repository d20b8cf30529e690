"""The CUDA and C++ sources, and which of them make which library. Nothing else says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError

APIS = ("v3", "v2", "none")
"""Plugin interfaces a library is built for: IPluginV3, IPluginV2DynamicExt, or the kernels alone."""


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
    adapters: tuple[str, ...] = ()
    stays_loaded: bool = False


_SHARED = ("attributes.cpp", "call_builder.cpp", "diagnostics.cpp", "fields.cpp", "input_layout.cpp")
_V3 = (*_SHARED, "plugin_v3.cpp", "creator_v3.cpp")
_V2 = (*_SHARED, "bytes.cpp", "plugin_v2.cpp", "creator_v2.cpp")

_RECIPES = {
    "v3": (
        Recipe("libattnexport_plugins.so", "loadable.map", (*_V3, "exports_v3.cpp")),
        Recipe(
            "libattnexport_plugins_static.so",
            "registering.map",
            (*_V3, "host_registry.cpp", "registration_v3.cpp"),
            stays_loaded=True,
        ),
    ),
    "v2": (
        Recipe(
            "libattnexport_plugins_v2.so",
            "registering.map",
            (*_V2, "host_registry.cpp", "registration_v2.cpp"),
            stays_loaded=True,
        ),
    ),
    "none": (Recipe("libattnexport_kernels.so", "registering.map"),),
}


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

    def adapter(self, file_name: str) -> Path:
        """A source or version script of the TensorRT adapters."""
        return self.root / "tensorrt" / file_name

    def recipes(self, api: str) -> tuple[Recipe, ...]:
        """The libraries of a plugin interface, the one that names a build first.

        Raises:
            InputError: a source is missing from the folder.
        """
        recipes = _RECIPES[api]
        adapters = (name for recipe in recipes for name in (recipe.version_script, *recipe.adapters))
        needed = [self.registry, *(self.adapter(name) for name in adapters)]
        for path in needed:
            if not path.is_file():
                raise InputError(f"{path}: expected a source of the plugin library, found none")
        return recipes


def library_names(api: str) -> tuple[str, ...]:
    """File names of the libraries of a plugin interface."""
    return tuple(recipe.file_name for recipe in _RECIPES[api])
