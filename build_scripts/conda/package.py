"""Build the conda package of zLMDB from its recipe."""

from collections.abc import Sequence
from pathlib import Path

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig

from .channel import SUBDIR
from .normalise import normalise


def build(
    tree: Path, subdir: str, channels: Sequence[str], output: Path, seconds: int, **variants: str
) -> Path:
    """Build the package for `subdir` from a source tree, and return its path.

    The recipe's tests are run if `subdir` is of this machine. `seconds` is the time that the package gets;
    `variants` replaces values of `variants.yaml`.
    """
    recipe = tree / "recipe"
    configured = VariantConfig.from_file(str(recipe / "variants.yaml")).to_dict()
    chosen = VariantConfig({**configured, **{name: [value] for name, value in variants.items()}})
    render = RenderConfig(PlatformConfig(target_platform=subdir))
    (variant,) = Stage0Recipe.from_file(str(recipe / "recipe.yaml")).render(chosen, render)
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
