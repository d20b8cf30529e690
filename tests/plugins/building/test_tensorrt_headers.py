"""TensorRT's headers: the search order, the version, and the plugin interface that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.building import tensorrt_headers
from attnexport.plugins.building.tensorrt_headers import choose_api, find_headers, read_headers

DIRECT = """
#define NV_TENSORRT_MAJOR {0} //!< TensorRT major version.
#define NV_TENSORRT_MINOR {1} //!< TensorRT minor version.
#define NV_TENSORRT_PATCH {2} //!< TensorRT patch version.
"""
THROUGH_A_MACRO = """
#define TRT_MAJOR_{3} {0}
#define TRT_MINOR_{3} {1}
#define TRT_PATCH_{3} {2}
#define NV_TENSORRT_MAJOR TRT_MAJOR_{3} //!< TensorRT major version.
#define NV_TENSORRT_MINOR TRT_MINOR_{3} //!< TensorRT minor version.
#define NV_TENSORRT_PATCH TRT_PATCH_{3} //!< TensorRT patch version.
"""


def headers(folder: Path, text: str) -> Path:
    """A folder with that version header."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "NvInferVersion.h").write_text(text)
    return folder


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORRT_ROOT", raising=False)
    monkeypatch.setattr(tensorrt_headers, "_system_folders", list)


@pytest.mark.parametrize(
    ("text", "name", "api"),
    [
        (DIRECT.format(8, 5, 2), "TensorRT 8.5.2", "v2"),
        (DIRECT.format(8, 6, 1), "TensorRT 8.6.1", "v2"),
        (DIRECT.format(10, 3, 0), "TensorRT 10.3.0", "v3"),
        (THROUGH_A_MACRO.format(10, 16, 1, "ENTERPRISE"), "TensorRT 10.16.1", "v3"),
        (THROUGH_A_MACRO.format(11, 4, 0, "ENTERPRISE"), "TensorRT 11.4.0", "v3"),
    ],
)
def test_the_version_decides_the_interface(text: str, name: str, api: str, tmp_path: Path):
    found = read_headers(headers(tmp_path, text))
    assert (found.name, choose_api("auto", found), choose_api(api, found)) == (name, api, api)


@pytest.mark.parametrize("version", [(7, 1, 3), (9, 3, 0), (10, 0, 1), (10, 2, 0)])
def test_versions_that_no_interface_serves(version: tuple[int, int, int], tmp_path: Path):
    found = read_headers(headers(tmp_path, DIRECT.format(*version)))
    with pytest.raises(InputError, match=rf"TensorRT {version[0]}\.{version[1]}\.{version[2]}: expected 8\.x, 10\.3"):
        choose_api("auto", found)


def test_the_headers_of_rtx_are_refused_with_what_to_take_instead(tmp_path: Path):
    found = read_headers(headers(tmp_path, THROUGH_A_MACRO.format(1, 7, 1, "RTX")))
    with pytest.raises(InputError, match=r"TensorRT-RTX 1\.7\.1: expected the headers of TensorRT 10\.3 or later"):
        choose_api("auto", found)


@pytest.mark.parametrize(("wanted", "major"), [("v3", 8), ("v2", 10)])
def test_the_other_interface_is_refused(wanted: str, major: int, tmp_path: Path):
    found = read_headers(headers(tmp_path, DIRECT.format(major, 6, 0)))
    with pytest.raises(InputError, match=f"api: expected v[23] for TensorRT {major}.6.0, given {wanted}"):
        choose_api(wanted, found)


@pytest.mark.parametrize("text", ["", "#define NV_TENSORRT_MAJOR x\n", DIRECT.format(8, 6, "GA")])
def test_a_header_without_numbers_is_refused(text: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"NvInferVersion\.h: expected NV_TENSORRT_M?[A-Z]+ to be a number"):
        read_headers(headers(tmp_path, text))


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given, root, system = (headers(tmp_path / name, DIRECT.format(8, 6, 1)) for name in ("a", "b/include", "c"))
    monkeypatch.setattr(tensorrt_headers, "_system_folders", lambda: [tmp_path / "none", system])
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path / "b"))
    assert find_headers(given).include == given
    assert find_headers().include == root
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path / "none"))
    assert find_headers().include == system
    monkeypatch.delenv("TENSORRT_ROOT")
    assert find_headers().include == system


def test_a_folder_without_headers_is_not_passed_over(tmp_path: Path):
    with pytest.raises(InputError, match=r"tensorrt_include: expected a folder with NvInferVersion\.h, given "):
        find_headers(tmp_path)


@pytest.mark.usefixtures("no_system")
def test_no_headers_names_the_three_places():
    with pytest.raises(InputError) as caught:
        find_headers()
    for part in ("tensorrt_include", "$TENSORRT_ROOT/include", "/usr/include", "libnvinfer-dev", "NVIDIA/TensorRT"):
        assert part in str(caught.value)
