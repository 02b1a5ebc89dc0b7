"""StarGAN: CPU budgets, two data sets at once, and tests."""

from experiments.stargan import Config
from gen_jax import Adam, Run

# The gradient norm of the critic is 1 in Euclidean distance, and distances between images grow with
# the side. At 32x32, the weights of the paper therefore preserve an image sooner than at 128x128,
# which helps short training. If multiplied by side / 128, they yield noise after 300 steps. Without
# `lambda_identity`, colours are inverted.
SMALL = Config(
    side=32, width=16, blocks=3, layers=4, flip=False, adam=Adam(5e-4, b1=0.5, decay=0.5),
    run=Run(sample_every=500),
)  # fmt: skip
QUICK = SMALL.but(lambda_identity=10, n_critic=2, batch_size=8, average=0.998, steps=4000)
JOINT = SMALL.but(data="digits", labels="joint", side=16, layers=3, steps=4000)
TINY = Config(data="digits", side=8, width=4, blocks=1, layers=2, steps=40, run=Run.tiny())

PRESETS = {
    "quick": ("32x32, a quarter as wide, 3 epochs; 8 minutes of a core", QUICK),
    "joint": (
        "digits at 16x16, the ink of one half known, the paper of the other; minutes on a CPU",
        JOINT,
    ),
    "tiny": ("8x8 digits in three inks; seconds, for tests", TINY),
}
