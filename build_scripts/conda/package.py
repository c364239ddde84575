"""Build the conda package of zLMDB from its recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig

from .channel import SUBDIR
from .normalise import normalise


def variants(tree: Path) -> Mapping[str, Sequence[str]]:
    """Return the values of `recipe/variants.yaml` in a source tree."""
    values: Mapping[str, Sequence[str]] = VariantConfig.from_file(
        str(tree / "recipe" / "variants.yaml")
    ).to_dict()
    return values


def build(
    tree: Path, subdir: str, channels: Sequence[str], output: Path, seconds: int, **changed: str
) -> Path:
    """Build the package for `subdir` from a source tree, and return its path.

    The recipe's tests are run if `subdir` is of this machine. `seconds` is the time that the package gets;
    `changed` replaces values of `variants.yaml`.
    """
    chosen = VariantConfig({**variants(tree), **{name: [value] for name, value in changed.items()}})
    render = RenderConfig(PlatformConfig(target_platform=subdir))
    (variant,) = Stage0Recipe.from_file(str(tree / "recipe" / "recipe.yaml")).render(chosen, render)
    result = variant.run_build(
        ToolConfiguration(test_strategy="native" if subdir == SUBDIR else "skip"),
        output_dir=output,
        channels=list(channels),
        no_build_id=True,
        no_include_recipe=True,  # As it is rendered, it names the folders of this build.
    )
    package = Path(result.packages[0])
    normalise(package, seconds)
    return package
