"""Each paper's `tiny` preset, one seed: does everything still run? Some minutes of two cores."""

from gen_jax.study.rows import Row

PAPERS = (
    *("vae", "autoencoder", "gan", "aae", "aae_labels", "dcgan", "infogan", "gan_vs_vae"),
    *("text2image", "puzzlegan", "cyclegan", "stargan", "progan"),
)
ROWS = [
    Row(
        f"{paper.replace('_', '-')}-tiny",
        paper=paper,
        preset="tiny",
        question="Does it run to its end?",
        measures={},
        picture="",
        seeds=1,
    )
    for paper in PAPERS
]
