"""Progressive GAN: the rows of Table 1 on CIFAR-10 and on drawn shapes, a CPU budget, and tests."""

from experiments.progan import Config
from gen_jax import Run
from gen_jax.networks.progan import Style

TABLE = Config(data="cifar10", side=32, base=2048, batches=(16,))  # section 6.1: smaller networks
BARE = Style(equalized=False, pixel_norm=False, variation="none")
OLD = BARE.but(normalize_latents=False, leaky=False, batch_norm=True, layer_norm=True, tanh=True)
GULRAJANI = TABLE.but(
    latents=128, style=OLD, n_critic=5, hold=5, b2=0.9, drift=0, batches=(64,), rates=(1e-4,),
    average=0.999**4,
)  # fmt: skip
REVISED = TABLE.but(rates=(1e-4,), style=BARE)
ROWS = {
    "a": ("WGAN-GP", GULRAJANI.but(start=32)),
    "b": ("+ progressive growing", GULRAJANI),
    "c": ("+ small minibatch", GULRAJANI.but(batches=(16,), average=0.999)),
    "d": ("+ revised training parameters", REVISED),
    "e_discrimination": (
        "+ minibatch discrimination",
        REVISED.but(style=BARE.but(variation="discrimination")),
    ),
    "e": ("+ minibatch standard deviation", REVISED.but(style=BARE.but(variation="deviation"))),
    "f": ("+ equalized learning rate", TABLE.but(style=TABLE.style.but(pixel_norm=False))),
    "g": ("+ pixelwise normalization", TABLE),
    "h": (
        "converged: all features, 19 million images",
        TABLE.but(base=8192, images=19_000_000),
    ),
}


def on_shapes(row: str, config: Config) -> Config:
    """Return a row of the table on drawn shapes, 16x16, which takes minutes."""
    return config.but(
        data="shapes", side=16, base=128, max_features=64, n_images=2048, n_feature_images=0,
        start=16 if row == "a" else 4, fade=12_000, stabilise=12_000, images=96_000, run=OFTEN,
    )  # fmt: skip


OFTEN = Run(log_every=200, sample_every=1000)
QUICK = Config(
    data="cifar10", side=16, base=128, max_features=64, latents=64, style=Style(group=4, fused=True),
    fade=40_000, stabilise=40_000, images=400_000, batches=(32,), n_images=2048,
    n_feature_images=500, run=OFTEN,
)  # fmt: skip
TINY = Config(
    data="digits", side=8, base=16, max_features=8, latents=8, style=Style(group=4), mirror=False,
    fade=160, stabilise=320, images=640, batches=(16, 8), n_images=64,
    run=Run(log_every=20, checkpoint_every=20, sample_every=20),
)  # fmt: skip

PRESETS = {
    **{
        row: (f"Table 1, {row}: {what}; CIFAR-10; for a GPU", config)
        for row, (what, config) in ROWS.items()
    },
    **{
        f"shapes_{row}": (
            f"Table 1, {row}, on drawn shapes, 16x16: {what}; minutes",
            on_shapes(row, config),
        )
        for row, (what, config) in ROWS.items()
        if row != "h"  # it differs from g only in what on_shapes replaces
    },
    "quick": ("CIFAR-10 at 16x16, an eighth as wide, 400 000 images; 25 minutes of a core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
