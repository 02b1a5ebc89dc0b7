"""Two sets of images, measured: generated or translated ones against real or target ones."""

from gen_jax.measure import pairs as of_pairs
from gen_jax.measure import reader, sets
from gen_jax.measure.result import Measured


def compare(
    a: reader.Given,
    b: reader.Given,
    *,
    pairs: bool = False,
    features: str | sets.Network = "resnet50",
    side: int | None = None,
    count: int | None = None,
    split: str | None = None,
    field: str | None = None,
    seed: int = 0,
    draws: int = 1000,
    perceptual: of_pairs.Distance = of_pairs.lpips,
) -> dict[str, Measured]:
    """Compare the images a with the images b, and return the measures of the sets (`sets.measure`),
    or with `pairs` those of pairs (`pairs.measure`), by name.

    Each is a folder, the name of a data set or an array uint8 [n, h, w, 1 or 3]; `reader.read`
    explains them, and `side`, `count`, `split` and `field`. Intervals are over `draws` bootstrap
    resamples by the seed. Raises the errors of these functions.
    """
    found = reader.read(
        a, b, pairs=pairs, side=side, count=count, split=split, field=field, seed=seed
    )
    if pairs:
        return of_pairs.measure(found, seed=seed, draws=draws, perceptual=perceptual)
    net = sets.network(features) if isinstance(features, str) else features
    return sets.measure(found, net, seed=seed, draws=draws)
