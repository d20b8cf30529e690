"""The plugin library against the target: interface, and code for its GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.plugins.calling.build_info import BuildInfo
from attnexport.plugins.calling.library import Library
from attnexport.targets import Target

_JETSON = (87, 101, 110)


def check_library(draft: Draft) -> list[str]:
    """Refuses a library that the target cannot use.

    Returns:
        What is unusual but works, one sentence each.

    Raises:
        InputError: naming the library.
    """
    if draft.library is None:
        return []
    _check_interface(draft, draft.library)
    return _check_architectures(draft.target, draft.library)


def _check_interface(draft: Draft, library: Library) -> None:
    wanted, given = draft.limits.plugin_api, library.info.api
    if wanted is None:
        library_option = option("--plugins")
        raise InputError(
            f"{library_option}: target {draft.target.name} runs none of the plugins: leave {library_option} away"
        )
    if given is not None and given != wanted:
        command = f"attnexport plugins build --api {wanted}"
        if wanted == draft.target.plugin_api:
            command = f"attnexport plugins build --target {draft.target.name}"
        raise InputError(
            f"{library.path}: expected plugin interface {wanted} for {draft.limits.product}, given {given}: "
            f"build it with {command}"
        )


def _check_architectures(target: Target, library: Library) -> list[str]:
    info = library.info
    if not info.architectures:
        return [f"{library.path} does not say which GPUs it has code for"]
    for sm in target.sms:
        if not _has_code(info.architectures, sm) and not _has_ptx(info, sm):
            have = " ".join(map(str, info.architectures))
            ptx = "" if info.ptx is None else f" and PTX {info.ptx}"
            raise InputError(
                f"{library.path}: expected code for SM {sm} of target {target.name}, given {have}{ptx}: "
                f"build it with attnexport plugins build --target {target.name}"
            )
    late = [str(sm) for sm in target.sms if not _has_code(info.architectures, sm)]
    if not late:
        return []
    return [
        f"because of target {target.name}: SM {' '.join(late)} runs the library's PTX {info.ptx}, compiled when "
        f"the engine is first loaded; attnexport plugins build --target {target.name} avoids that"
    ]


def _has_code(architectures: Sequence[int], sm: int) -> bool:
    """Machine code runs on its own GPU, and on later ones of the same generation, those in Jetsons excepted."""
    if sm in architectures:
        return True
    same = (value for value in architectures if value // 10 == sm // 10 and value < sm)
    return sm not in _JETSON and any(value not in _JETSON for value in same)


def _has_ptx(info: BuildInfo, sm: int) -> bool:
    return info.ptx is not None and info.ptx <= sm
