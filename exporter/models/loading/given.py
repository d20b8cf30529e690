"""What a user says of a model: held together, and to what its files are, before anything large is read or imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.models.loading.kinds import Kind, kind_of


@dataclass(frozen=True)
class WeightsPlace:
    """Where in a file the weights are: under which key, behind which prefix; None for whichever fits."""

    key: str | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class GivenModel:
    """MODEL and what goes with it, as :func:`attnexport.load_model` takes them.

    Attributes:
        path, factory, weights, place: the model; None for what was not given.
        dims_given: whether dynamic dims were. Default: False.
    """

    path: Path | None
    factory: str | None = None
    weights: Path | None = None
    place: WeightsPlace = WeightsPlace()
    dims_given: bool = False

    def check(self) -> None:
        """Refuses what does not go together.

        Raises:
            InputError: naming the file or the option.
        """
        if self.factory is not None:
            split_factory(self.factory)
        if self.path is None and self.factory is None:
            raise InputError(f"no MODEL: give a .pt2, .pt or .pth file, or {option('--model', 'pkg.module:factory')}")
        if self.path is not None:
            self._check_model(self.path, kind_of(self.path))
        if self.weights is not None:
            refuse_program(self.weights, kind_of(self.weights))
        if self.path is None and self.weights is None and self.place != WeightsPlace():
            raise InputError(
                f"{option('--weights-key')}, {option('--strip-prefix')}: expected beside a file of weights, given none"
            )

    def _check_model(self, path: Path, kind: Kind) -> None:
        if kind == "program":
            if self.factory is not None or self.weights is not None:
                raise InputError(
                    f"{path}: is a torch.export archive, which holds model and weights: leave out {option('--model')} "
                    f"and {option('--weights')}"
                )
            if self.place != WeightsPlace():
                left = f"{option('--weights-key')} and {option('--strip-prefix')}"
                raise InputError(f"{path}: is a torch.export archive: leave out {left}")
            if self.dims_given:
                raise InputError(f"{option('--dynamic')}: {path} is a program already, whose dynamic dims are fixed")
        elif self.weights is not None:
            raise InputError(f"{path} and {option('--weights', str(self.weights))} both hold weights: give one of them")


def refuse_program(path: Path, kind: Kind) -> None:
    """Refuses a torch.export archive where weights are wanted.

    Raises:
        InputError: naming the file.
    """
    if kind == "program":
        raise InputError(
            f"{path}: is a torch.export archive, expected weights (.pt, .pth or .safetensors): give it as MODEL"
        )


def split_factory(factory: str) -> tuple[str, str]:
    """The module and the name in ``pkg.module:name``.

    Raises:
        InputError: a text of another form.
    """
    module, colon, attribute = factory.partition(":")
    if not colon or not module or not attribute:
        raise InputError(f"{option('--model', factory)}: expected pkg.module:factory, such as my_models.vit:build")
    return module, attribute
