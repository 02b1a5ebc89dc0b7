"""What each part of a method contributes, at budgets of minutes."""

from gen_jax.study.headline import CATEGORY, PARZEN
from gen_jax.study.quick import MATCHES, TRANSLATIONS
from gen_jax.study.rows import Row

TABLE_1 = ("a", "b", "c", "d", "e_discrimination", "e", "f", "g")
CYCLES = {
    "cycle": ("What does the cycle loss give alone?", "Blurred images, whatever the seed."),
    "gan": (
        "What do the adversarial losses give alone?",
        "One image for all inputs, in each direction and with each seed.",
    ),
    "forward": (
        "What does the forward cycle add to the adversarial losses?",
        "Maps that depend on their photograph; photographs hardly depend on their map.",
    ),
    "backward": ("What does the backward cycle add to them?", ""),
    "full": (
        "What is lost without the identity loss?",
        "With each seed land and sea are exchanged, and the true partner is nearest no more often "
        "than by chance; `cyclegan-small`, which has the identity loss, finds it for 15 to 20 %.",
    ),
}
ROWS = [
    Row(
        "infogan-epsilon",
        paper="infogan",
        picture="traversal_category",
        preset="official",
        question="Does it matter where Adam adds its epsilon? Here after the bias correction.",
        measures=CATEGORY,
        claims=("test/error_best_map",),
        changes={"adam.epsilon_hat": False},
        published="official",
        answer="Each run had one core of an Intel Xeon with AVX-512, for 70 to 80 minutes.",
    ),
    Row(
        "infogan-passive",
        paper="infogan",
        picture="traversal_category",
        preset="passive",
        question="Does a plain GAN keep the information of its codes (figure 1)?",
        measures=CATEGORY,
    ),
    Row(
        "aae-encoder",
        paper="aae",
        preset="quick",
        question="Do noisy codes, which blur the decoder, raise the likelihood?",
        measures=PARZEN,
        sweep={"encoder": ("gaussian", "universal")},
        answer="No. Gaussian codes lower it. With a noise input it is as high as with the best "
        "seeds of deterministic codes (`aae-quick`), and differs less between seeds.",
    ),
    Row(
        "aae-decay",
        paper="aae",
        preset="quick",
        question="Is the likelihood higher if all learning rates fall to 0 over the last 5 epochs?",
        measures=PARZEN,
        changes={"adam.decay": 0.5, "adversarial_adam.decay": 0.5},
    ),
    Row(
        "aae-momentum",
        paper="aae",
        preset="quick",
        question="Is it higher with less momentum in the adversarial players?",
        measures=PARZEN,
        changes={"adversarial_adam.b1": 0.5},
    ),
    *(
        Row(
            f"cyclegan-{preset}",
            paper="cyclegan",
            picture="samples_of_photos",
            lower=True,
            preset=preset,
            question=f"{question} (section 5.1.3)",
            measures=TRANSLATIONS,
            answer=answer,
        )
        for preset, (question, answer) in CYCLES.items()
    ),
    *(
        Row(
            f"text2image-{preset.replace('_', '-')}",
            paper="text2image",
            preset=preset,
            question=question,
            measures=MATCHES,
        )
        for preset, question in (
            ("gan", "What is lost without mismatched and interpolated text?"),
            ("gan_cls", "What is lost without interpolated text?"),
            ("gan_int", "What is lost without mismatched text?"),
        )
    ),
    *(
        Row(
            f"progan-shapes-{letter.replace('_', '-')}",
            paper="progan",
            picture="progress",
            preset=f"shapes_{letter}",
            question=f"Row {letter.replace('_', ' with ')} of Table 1, on drawn shapes at 16x16.",
            measures={
                "test/swd": "sliced Wasserstein distance, times 1000",
                "test/ms_ssim": "MS-SSIM of pairs",
            },
        )
        for letter in TABLE_1
    ),
]
