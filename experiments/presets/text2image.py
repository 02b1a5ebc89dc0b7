"""Text to image: another encoder, CPU budgets, the ablations at that budget, and tests."""

from experiments.text2image import Config
from gen_jax import Adam, Run
from gen_jax.evaluation.joint_embedding import Embedding

SMALL = Embedding(
    features=128, length=64, widths=(64, 96, 128), image_widths=(16, 32, 64), steps=4000, epoch=500
)
# `quick` differs from the paper in three points, without which images show colours and positions
# but no shapes: D has a gradient penalty instead of batch norm; a running average of G generates
# the images; and MiniLM is added to the char-CNN-RNN, which hardly learns shapes from so few
# captions (a linear classifier of its features recognises 46 % for new pairs of shape and colour).
# Its G ignores z, so no style is transferred. `noisy` is closer to the paper: it transfers style,
# but shows no shapes.
QUICK = Config(
    data="shapes", encoder="both", embedding=SMALL, load=16, side=16, flip=False,
    generator_width=64, discriminator_width=32, penalty=0.05, average=0.995, batch_size=32,
    adam=Adam(4e-4, b1=0.5), steps=10_000, halvings=3, run=Run(sample_every=2000),
)  # fmt: skip
# Drawn shapes are so clean that, without noise, D always distinguishes fakes from real images.
NOISY = QUICK.but(
    encoder="characters", penalty=0, noise=0.3, average=0.0, batch_size=64,
    adam=Adam(2e-4, b1=0.5), steps=4000,
)  # fmt: skip
SMALLEST = Embedding(
    features=16, length=48, widths=(8, 8), image_widths=(8,), batch_size=20, steps=100, epoch=50
)
TINY = QUICK.but(
    encoder="characters", count=200, embedding=SMALLEST, latents=8, text=8, generator_width=4,
    discriminator_width=4, penalty=0.5, noise=0.3, fading=True, batch_size=16, steps=40,
    run=Run.tiny(),
)  # fmt: skip

PRESETS = {
    "minilm": (
        "as paper, with a frozen sentence encoder for text; for a GPU",
        Config(encoder="minilm"),
    ),
    "quick": (
        "GAN-INT-CLS on shapes, 16x16, half as wide, 16 epochs; 17 to 24 minutes of a shared core",
        QUICK,
    ),
    "gan": (
        "quick without CLS and INT: the text may be ignored",
        QUICK.but(cls_weight=0.0, interp_weight=0.0),
    ),
    "gan_cls": ("quick without INT", QUICK.but(interp_weight=0.0)),
    "gan_int": ("quick without CLS", QUICK.but(cls_weight=0.0)),
    "noisy": (
        "the paper's, with noise on images for D; 9 minutes of a core; styles but no shapes",
        NOISY,
    ),
    "emoji_quick": ("quick on emoji, 32x32", QUICK.but(data="emoji", load=32, side=32)),
    "tiny": ("16x16 shapes; seconds, for tests", TINY),
}
