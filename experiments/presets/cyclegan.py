"""CycleGAN: emoji, CPU budgets, the ablations of section 5.1.3 at such a budget, and toy data."""

from experiments.cyclegan import CODES, Config, Weights
from gen_jax import Adam, Run

EMOJI = Config(data="emoji", weights=CODES, load=64, pad=4, side=64, steps=200 * 2979)
# Without the identity loss, land and sea are exchanged: see `full`.
QUICK = Config(
    load=75, side=64, width=16, blocks=3, weights=CODES, steps=5 * 935, run=Run(sample_every=935)
)
SMALL = Config(load=36, side=32, width=16, blocks=2, halvings=1, weights=CODES, steps=5 * 935)
EMOJI_QUICK = SMALL.but(data="emoji", load=32, pad=2, batch_size=4, steps=3000, feature_images=128)
DISCS = SMALL.but(
    data="discs", weights=Weights(), load=18, side=16, width=8, blocks=1, batch_size=8, steps=2000,
    feature_images=0,
)  # fmt: skip
ATOMS = Config(
    data="atoms", batch_size=64, steps=4000, adam=Adam(1e-3, b1=0.5), feature_images=0,
    run=Run(log_every=500),
)  # fmt: skip
TINY = ATOMS.but(width=8, batch_size=8, pool=12, steps=40, run=Run.tiny())
ABLATIONS = {
    "cycle": ("cycle only", Weights(adversarial=0)),
    "gan": ("GAN only", Weights(forward=0, backward=0)),
    "forward": ("GAN + forward cycle", Weights(backward=0)),
    "backward": ("GAN + backward cycle", Weights(forward=0)),
    "full": ("all of equation 3, without identity", Weights()),
}

PRESETS = {
    "emoji": (
        "64x64 emoji, Google's to Twitter's, with identity as in the codes; 200 epochs; for a GPU",
        EMOJI,
    ),
    "quick": (
        "64x64, a quarter as wide, 3 blocks, 5 epochs, with identity; 8 to 40 minutes of a core",
        QUICK,
    ),
    "small": ("32x32, a quarter as wide, 2 blocks, 5 epochs, with identity; 3 minutes", SMALL),
    "emoji_quick": ("32x32 emoji, a quarter as wide, 2 blocks, 4 epochs; 5 minutes", EMOJI_QUICK),
    **{
        name: (f"{what} (section 5.1.3), as small", SMALL.but(weights=weights))
        for name, (what, weights) in ABLATIONS.items()
    },
    "discs": ("16x16 discs in two colours; no download", DISCS),
    "atoms": ("4 atoms of equal mass, with 24 cycle-consistent pairings; a minute", ATOMS),
    "tiny": ("the same, 40 steps; seconds, for tests", TINY),
}
