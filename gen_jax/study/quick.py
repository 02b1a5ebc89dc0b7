"""The `quick` preset of each paper: minutes of a CPU core, a small part of the published budgets."""

from gen_jax.study.headline import CATEGORY, PARZEN
from gen_jax.study.rows import Row

FRECHET = "squared Frechet distance (features of our MNIST classifier), "
MATCHES = {
    f"{split}/match{of}": f"{split_name} captions: images of {what}, %"
    for split, split_name in (("test", "new"), ("seen", "training"))
    for of, what in (("_colour", "their colour"), ("_shape", "their shape"), ("", "all of it"))
}
TRANSLATIONS = {
    f"test/{measure}_{name}{suffix}": f"{name}: {what}{baseline}"
    for name in ("photo", "map")
    for measure, what in (("l1", "mean difference, of 255"), ("top_1", "true partner nearest, %"))
    for suffix, baseline in (("", ""), ("_untranslated", ", identity baseline"))
}
ROWS = [
    Row(
        "vae-quick",
        paper="vae",
        preset="quick",
        published="paper",
        question="What do 25 epochs of Adam reach?",
        measures={
            "test/elbo": "test ELBO, nats",
            "test/nll_k500_of_1000": "NLL, nats, 500 importance samples, first 1000 test images",
        },
    ),
    Row(
        "gan-quick",
        paper="gan",
        preset="quick",
        question="What do 20 epochs reach?",
        measures=PARZEN,
    ),
    Row(
        "infogan-quick",
        paper="infogan",
        picture="traversal_category",
        preset="quick",
        published="official",
        question="Does a quarter of the width suffice?",
        measures=CATEGORY,
        seeds=5,
        answer="No. In seeds 1 to 4 the category of a generated image is read almost without error, but these "
        "images are no digits: the discriminator wins.",
    ),
    Row(
        "gan-vs-vae-quick",
        paper="gan_vs_vae",
        preset="quick",
        lower=True,
        question="Which divergence does each model make small, on 8 Gaussians?",
        measures={
            f"test/{measure}_{name}": f"{what}, {name.upper()}"
            for measure, what in (
                ("kl_from_data_kernel", "KL(data ‖ model), nats, by kernels"),
                ("kl_to_data_kernel", "KL(model ‖ data), nats, by kernels"),
                ("modes", "modes of 8"),
            )
            for name in ("gan", "vae")
        },
    ),
    Row(
        "autoencoder-quick",
        paper="autoencoder",
        picture="samples_autoencoder",
        lower=True,
        preset="quick",
        question="Do decoded draws from N(0, I) look like data?",
        measures={
            "test/frechet_autoencoder": f"{FRECHET}draws of the autoencoder",
            "test/frechet_vae": "the same of a VAE's draws",
            "test/frechet_autoencoder_reconstructions": "of the autoencoder's reconstructions",
            "test/frechet_vae_reconstructions": "of the VAE's reconstructions",
            "test/frechet_training_images": "of training images",
        },
    ),
    Row(
        "puzzlegan-quick",
        paper="puzzlegan",
        preset="quick",
        question="Are patches placed where they were cut out?",
        measures={
            "test/mask_iou": "intersection over union of masks and true places",
            "test/centre_error": "distance between their centres, pixels",
            "test/patch_error": "error inside the true places, of pixels from 0 to 1",
            "test/shape_accuracy": "shape read back right, %",
        },
    ),
    Row(
        "cyclegan-small",
        paper="cyclegan",
        picture="samples_of_photos",
        lower=True,
        preset="small",
        question="Are maps and photographs of unseen places translated into each other?",
        measures=TRANSLATIONS,
    ),
    Row(
        "stargan-quick",
        paper="stargan",
        preset="quick",
        question="Do emoji take on another vendor's style?",
        measures={
            "test/domain_error": "error of a classifier of domains, %",
            "test/domain_error_of_real": "the same on real images",
            "test/l1": "mean difference from the true translation, of 255",
            "test/l1_of_nothing": "identity baseline",
        },
    ),
    Row(
        "aae-quick",
        paper="aae",
        preset="quick",
        published="paper",
        question="What do 10 epochs reach?",
        measures=PARZEN,
    ),
    Row(
        "dcgan-quick",
        paper="dcgan",
        preset="quick",
        published="mnist",
        question="What is the 1-NN error at half the width, after 10 epochs?",
        measures={
            "test/nearest_neighbour_error_50000": "1-NN error by 50 K generated images, %",
            "test/label_accuracy": "generated images of their label, %",
        },
        answer="The more generated images agree with their labels, the lower the error: 37.6, 30.7 and 8.4 % at a "
        "label accuracy of 74.2, 79.4 and 94.7 %.",
    ),
    Row(
        "aae-labels-quick",
        paper="aae_labels",
        preset="quick",
        published="paper",
        question="What is the error with 100 labels after 10 epochs?",
        measures={"test/error_100_labels": "error with 100 labels, %"},
    ),
    Row(
        "text2image-quick",
        paper="text2image",
        preset="quick",
        question="Do images show what captions say, and new pairs of shape and colour?",
        measures=MATCHES,
    ),
    Row(
        "progan-quick",
        paper="progan",
        picture="progress",
        preset="quick",
        question="How far from CIFAR-10 are 16x16 images by networks an eighth as wide?",
        measures={
            "test/swd": "sliced Wasserstein distance, times 1000",
            "test/swd_of_real": "the same of other training images",
        },
    ),
]
