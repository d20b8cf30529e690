"""Opens a model file with the backend that it is for."""

from __future__ import annotations

from pathlib import Path

from attnexport.backends import Backend
from attnexport.backends.choosing import builder_named
from attnexport.engines.manifest import Manifest
from attnexport.engines.manifest_json import read_manifest
from attnexport.engines.names import ENGINE_SUFFIXES
from attnexport.errors import BackendError, InputError
from attnexport.files.outputs import sha256
from attnexport.graph.inspection import read_model
from attnexport.messages import option
from attnexport.plugins.building.architectures import gpus_of_this_machine


def open_backend(path: Path, *, plugins: Path | None = None, device: str = "cpu") -> Backend:
    """A model file, ready to run.

    An engine that carries its plugin library runs that library's code when it is opened, and so does ``plugins``.

    Args:
        path: an engine, of one of ENGINE_SUFFIXES, for the backend that its manifest names, else an ONNX file for ONNX
            Runtime.
        plugins: the plugin library of an engine. Default: None, the engine carries it or needs none.
        device: where ONNX Runtime runs, cpu or cuda; engines run on the GPU. Default: cpu.

    Raises:
        InputError: no such file, an engine without its manifest or without its plugin library.
        BackendError: what would run it is not installed, is another version, or refuses the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix not in ENGINE_SUFFIXES:
        from attnexport.backends.onnxruntime import OnnxRuntimeBackend

        read_model(path)  # refuses what ONNX Runtime would read
        return OnnxRuntimeBackend.on_device(path, device)
    manifest = read_manifest(path)
    _check_plugins(path, manifest, plugins)
    return _open_engine(path, manifest, plugins)


def _check_plugins(path: Path, manifest: Manifest, plugins: Path | None) -> None:
    if plugins is not None and not plugins.is_file():
        raise InputError(f"{plugins}: no such file")
    wanted = manifest.plugin
    if wanted is None or wanted.embedded:
        return
    if plugins is None:
        raise InputError(
            f"{path}: expected its plugin library, {wanted.file}, SHA-256 {wanted.sha256[:12]}…: give it with "
            f"{option('--plugins', 'LIB')}"
        )
    given = sha256(plugins)
    if given != wanted.sha256:
        raise InputError(
            f"{plugins}: expected the library that {path.name} was built with, SHA-256 {wanted.sha256[:12]}…, given "
            f"{given[:12]}…"
        )


def _open_engine(path: Path, manifest: Manifest, plugins: Path | None) -> Backend:
    backend = manifest.builder.backend
    version = _installed_version(backend)
    if version != manifest.builder.version:
        made = f"{manifest.builder.product} {manifest.builder.version}"
        raise BackendError(f"{path}: expected {made}, which built it, this machine has {version}: build it again here")
    gpus = gpus_of_this_machine()
    if gpus and not set(gpus) & set(manifest.sms):
        wanted, given = " ".join(map(str, manifest.sms)), " ".join(map(str, gpus))
        raise BackendError(f"{path}: expected a GPU of SM {wanted}, for which it was built, given SM {given}")
    embedded = manifest.plugin is not None and manifest.plugin.embedded
    plugins = None if embedded else plugins
    if backend == "native":
        from attnexport.backends.native import NativeBackend

        return NativeBackend(path, plugins, allow_host_code=embedded)
    from attnexport.backends.tensorrt_engine import BindingsBackend

    return BindingsBackend(path, backend, manifest.builder.product, plugins, allow_host_code=embedded)


def _installed_version(backend: str) -> str:
    if backend != "native":
        return builder_named(backend).version
    from attnexport.plugins.runtime.runtime import Runtime, find_runtime

    # A runtime that was compiled without the ONNX parser runs engines, too.
    return Runtime(find_runtime()).open_tensorrt().version
