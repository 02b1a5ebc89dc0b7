"""The benchmarked models as they are usually written in PyTorch: networks, losses and a step of all
players.

Only `benchmarks.speed` uses it, where PyTorch is installed. Each class has the fields and calls of
`Model`.
"""

import copy
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Wrap = Callable[[nn.Module], Any]  # torch.compile, or nothing


class Model:
    """Networks with their optimizers, and `step(batch)`, which plays once."""

    networks: Sequence[nn.Module]

    def parameters(self) -> int:
        return sum(p.numel() for network in self.networks for p in network.parameters())

    def place(self, device: str, channels_last: bool) -> None:
        form = torch.channels_last if channels_last else torch.contiguous_format
        for network in self.networks:
            network.to(device).to(memory_format=form)


def penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, slope: float = 1
) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((gradient.float().flatten(1).norm(dim=1) / slope - 1) ** 2).mean()


def played(optimizer: Any, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


class Variational(nn.Module):
    def __init__(self, pixels: int, hidden: int, latents: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh())
        self.mean, self.log_variance = nn.Linear(hidden, latents), nn.Linear(hidden, latents)
        self.decoder = nn.Sequential(
            nn.Linear(latents, hidden), nn.Tanh(), nn.Linear(hidden, pixels)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        logits = self.decoder(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        return (reconstruction + kl) / len(x)


class VAE(Model):
    def __init__(self, config: Any, device: str, channels_last: bool, wrap: Wrap):
        network = Variational(784, config.hidden[0], config.latents)
        self.networks = (network,)
        self.place(device, False)
        o = config.optimizer
        self.adagrad = torch.optim.Adagrad(
            network.parameters(), o.learning_rate, weight_decay=1 / 60_000
        )
        self.network = wrap(network)

    def step(self, batch: dict[str, Tensor]) -> None:
        played(self.adagrad, self.network(batch["x"]))


class DCGAN(Model):
    """The released Lua code's networks; G is moved on the fakes that D has just seen."""

    def __init__(self, config: Any, device: str, channels_last: bool, wrap: Wrap):
        width, self.latents = config.width, config.latents
        up = [
            nn.ConvTranspose2d(self.latents, 8 * width, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8 * width),
            nn.ReLU(),
        ]
        down = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for i in (4, 2, 1):
            up += [
                nn.ConvTranspose2d(2 * i * width, i * width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(i * width),
            ]
            up += [nn.ReLU()]
        for i in (2, 4, 8):
            down += [
                nn.Conv2d(i // 2 * width, i * width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(i * width),
            ]
            down += [nn.LeakyReLU(0.2)]
        generator = nn.Sequential(*up, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())
        discriminator = nn.Sequential(*down, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False))
        self.networks = (generator, discriminator)
        self.place(device, channels_last)
        o = config.optimizer
        self.adams = [
            torch.optim.Adam(n.parameters(), o.learning_rate, betas=(o.b1, 0.999))
            for n in self.networks
        ]
        self.generator, self.discriminator = (wrap(network) for network in self.networks)

    def step(self, batch: dict[str, Tensor]) -> None:
        x = batch["x"]
        fake = self.generator(torch.randn(len(x), self.latents, 1, 1, device=x.device))
        real, made = self.discriminator(x), self.discriminator(fake.detach())
        played(self.adams[1], F.softplus(-real.float()).mean() + F.softplus(made.float()).mean())
        played(self.adams[0], F.softplus(-self.discriminator(fake).float()).mean())


class Residual(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def translator(width: int, blocks: int, affine: bool) -> nn.Module:
    def norm(n: int) -> nn.Module:
        return nn.InstanceNorm2d(n, affine=affine)

    def reflected(n: int) -> nn.Module:
        pad, conv = nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3)
        return nn.Sequential(pad, conv, norm(n))

    layers: list[nn.Module] = [
        nn.ReflectionPad2d(3),
        nn.Conv2d(3, width, 7),
        norm(width),
        nn.ReLU(),
    ]
    for n in (2 * width, 4 * width):
        layers += [nn.Conv2d(n // 2, n, 3, 2, 1), norm(n), nn.ReLU()]
    for _ in range(blocks):
        layers.append(
            Residual(nn.Sequential(reflected(4 * width), nn.ReLU(), reflected(4 * width)))
        )
    for n in (2 * width, width):
        layers += [nn.ConvTranspose2d(2 * n, n, 3, 2, 1, output_padding=1), norm(n), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def patches(width: int, halvings: int, affine: bool) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for i, stride in enumerate((2,) * halvings + (1,)):
        n = width * min(2**i, 8)
        layers += [nn.Conv2d(channels, n, 4, stride, 1)]
        layers += [nn.InstanceNorm2d(n, affine=affine)] if i else []
        layers += [nn.LeakyReLU(0.2)]
        channels = n
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))


class Pool:
    def __init__(self, size: int):
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, batch: Tensor) -> Tensor:
        given = []
        for image in batch.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            elif random.random() > 0.5:
                place = random.randrange(self.size)
                image, self.images[place] = self.images[place].clone(), image
            given.append(image)
        return torch.stack(given)


class CycleGAN(Model):
    def __init__(self, config: Any, device: str, channels_last: bool, wrap: Wrap):
        self.config = config
        maps = [translator(config.width, config.blocks, config.affine) for _ in range(2)]
        judges = [patches(config.width, config.halvings, config.affine) for _ in range(2)]
        self.networks = (*maps, *judges)
        self.place(device, channels_last)
        self.adams = [
            torch.optim.Adam(
                [p for n in own for p in n.parameters()],
                config.adam.learning_rate,
                betas=(config.adam.b1, config.adam.b2),
            )
            for own in (maps, judges)
        ]
        self.judges = judges
        self.to_y, self.to_x, self.d_x, self.d_y = (wrap(network) for network in self.networks)
        self.pools = Pool(config.pool), Pool(config.pool)

    def step(self, batch: dict[str, Tensor]) -> None:
        x, y, w = batch["x"], batch["y"], self.config.weights
        for judge in self.judges:
            judge.requires_grad_(False)
        fake_x, fake_y = self.to_x(y), self.to_y(x)
        loss = ((self.d_x(fake_x) - 1) ** 2).mean() + ((self.d_y(fake_y) - 1) ** 2).mean()
        loss += (
            w.forward * (self.to_x(fake_y) - x).abs().mean()
            + w.backward * (self.to_y(fake_x) - y).abs().mean()
        )
        if w.identity:
            loss += w.identity * ((self.to_x(x) - x).abs().mean() + (self.to_y(y) - y).abs().mean())
        played(self.adams[0], loss)
        for judge in self.judges:
            judge.requires_grad_(True)
        told = zip((self.d_x, self.d_y), (x, y), (fake_x, fake_y), self.pools, strict=True)
        terms = [
            ((d(real) - 1) ** 2).mean() + (d(pool(fake)) ** 2).mean()
            for d, real, fake, pool in told
        ]
        played(self.adams[1], 0.5 * sum(terms[1:], terms[0]))


class Labelled(nn.Module):
    """StarGAN's generator."""

    def __init__(self, width: int, blocks: int, labels: int):
        super().__init__()

        def normed(a: int, b: int, size: int) -> list[nn.Module]:
            pad, stride = {7: (3, 1), 4: (1, 2), 3: (1, 1)}[size]
            return [
                nn.Conv2d(a, b, size, stride, pad, bias=False),
                nn.InstanceNorm2d(b, affine=True),
            ]

        layers = [*normed(3 + labels, width, 7), nn.ReLU()]
        for n in (2 * width, 4 * width):
            layers += [*normed(n // 2, n, 4), nn.ReLU()]
        n = 4 * width
        for _ in range(blocks):
            layers.append(Residual(nn.Sequential(*normed(n, n, 3), nn.ReLU(), *normed(n, n, 3))))
        for n in (2 * width, width):
            up = nn.ConvTranspose2d(2 * n, n, 4, 2, 1, bias=False)
            layers += [up, nn.InstanceNorm2d(n, affine=True), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        c = c[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.layers(torch.cat([x, c], 1))


class Judge(nn.Module):
    """StarGAN's discriminator."""

    def __init__(self, width: int, layers: int, side: int, labels: int):
        super().__init__()
        widths = [3, *(width * 2**i for i in range(layers))]
        pairs = itertools.pairwise(widths)
        body = [layer for a, b in pairs for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01))]
        self.body = nn.Sequential(*body)
        self.source = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.domains = nn.Conv2d(widths[-1], labels, side // 2**layers, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.source(h), self.domains(h).flatten(1)


class StarGAN(Model):
    def __init__(self, config: Any, device: str, channels_last: bool, wrap: Wrap):
        self.config, self.played, labels = config, 0, 4
        self.judge = Judge(config.width, config.layers, config.side, labels)
        self.networks = (Labelled(config.width, config.blocks, labels), self.judge)
        self.place(device, channels_last)
        self.adams = [
            torch.optim.Adam(
                n.parameters(), config.adam.learning_rate, betas=(config.adam.b1, config.adam.b2)
            )
            for n in self.networks
        ]
        self.generator, self.discriminator = (wrap(network) for network in self.networks)

    def step(self, batch: dict[str, Tensor]) -> None:
        x, c, w = batch["x"][:, 0], batch["c"][:, 0], self.config
        target = c[torch.randperm(len(c), device=c.device)]
        fake = self.generator(x, target).detach()
        (real, logits), (made, _) = self.discriminator(x), self.discriminator(fake)
        loss = made.mean() - real.mean() + w.lambda_cls * F.cross_entropy(logits, c.argmax(1))
        played(self.adams[1], loss + w.lambda_gp * penalty(lambda x: self.judge(x)[0], x, fake))
        self.played += 1
        if self.played % w.n_critic == 0:
            fake = self.generator(x, target)
            made, logits = self.discriminator(fake)
            loss = -made.mean() + w.lambda_cls * F.cross_entropy(logits, target.argmax(1))
            played(self.adams[0], loss + w.lambda_rec * (self.generator(fake, c) - x).abs().mean())


class Equalized(nn.Module):
    """A convolution or a dense layer (size 0) whose weights are scaled at run time."""

    def __init__(self, a: int, b: int, size: int, gain: float = 2**0.5):
        super().__init__()
        shape = (b, a, size, size) if size else (b, a)
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(b))
        self.scale, self.pad = gain / (a * max(size, 1) ** 2) ** 0.5, size // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.ndim == 2:
            return F.linear(x, self.weight * self.scale, self.bias)
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.pad)


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * ((x.float() ** 2).mean(1, keepdim=True) + 1e-8).rsqrt().to(x.dtype)


class First(nn.Module):
    """Latents to 4x4, with a bias for each feature."""

    def __init__(self, latents: int, features: int):
        super().__init__()
        self.norm = PixelNorm()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(16 * features, latents)),
            nn.Parameter(torch.zeros(features)),
        )
        self.scale = 2**0.5 / 4 / latents**0.5

    def forward(self, z: Tensor) -> Tensor:
        x = F.linear(self.norm(z), self.weight * self.scale).unflatten(1, (-1, 4, 4))
        return x + self.bias[:, None, None]


class Grown(nn.Module):
    """Progressive GAN's generator at one side."""

    def __init__(self, config: Any, widths: Sequence[int]):
        super().__init__()
        rest = [nn.LeakyReLU(0.2), PixelNorm()]
        layers: list[nn.Module] = [
            First(config.latents, widths[0]),
            *rest,
            Equalized(widths[0], widths[0], 3),
            *rest,
        ]
        for a, b in itertools.pairwise(widths):
            layers += [
                nn.Upsample(scale_factor=2),
                Equalized(a, b, 3),
                *rest,
                Equalized(b, b, 3),
                *rest,
            ]
        self.layers = nn.Sequential(*layers, Equalized(widths[-1], 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Deviation(nn.Module):
    def __init__(self, group: int):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        groups = x.float().view(min(self.group, b), -1, *x.shape[1:])
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        return torch.cat(
            [x, spread.repeat(len(groups))[:, None, None, None].expand(b, 1, h, w).to(x.dtype)], 1
        )


class Critic(nn.Module):
    """Progressive GAN's critic at one side; `widths` from 4 pixels up."""

    def __init__(self, config: Any, widths: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = [Equalized(3, widths[-1], 1), nn.LeakyReLU(0.2)]
        for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [
                Equalized(a, a, 3),
                nn.LeakyReLU(0.2),
                Equalized(a, b, 3),
                nn.LeakyReLU(0.2),
                nn.AvgPool2d(2),
            ]
        last = min(config.base, config.most)  # of a side of 2 pixels
        layers += [
            Deviation(config.style.group),
            Equalized(widths[0] + 1, widths[0], 3),
            nn.LeakyReLU(0.2),
        ]
        layers += [
            nn.Flatten(),
            Equalized(16 * widths[0], last, 0),
            nn.LeakyReLU(0.2),
            Equalized(last, 1, 0, 1),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0]


class ProGAN(Model):
    def __init__(self, config: Any, device: str, channels_last: bool, wrap: Wrap):
        self.config = config
        sides = [4 * 2**i for i in range((config.side // 4).bit_length())]
        widths = [min(2 * config.base // side, config.most) for side in sides]
        generator, self.judge = Grown(config, widths), Critic(config, widths)
        self.networks = (generator, self.judge)
        self.place(device, channels_last)
        rate = config.rates[-1]
        self.adams = [
            torch.optim.Adam(n.parameters(), rate, betas=(0.0, config.b2)) for n in self.networks
        ]
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.generator, self.critic = (wrap(network) for network in self.networks)

    def step(self, batch: dict[str, Tensor]) -> None:
        x, c = batch["x"], self.config
        z = torch.randn(len(x), c.latents, device=x.device)
        fake = self.generator(z).detach()
        real, made = self.critic(x), self.critic(fake)
        loss = made.mean() - real.mean() + c.drift * (real**2).mean()
        played(self.adams[1], loss + c.lambda_gp * penalty(self.judge, x, fake, c.slope))
        z = torch.randn(len(x), c.latents, device=x.device)
        played(self.adams[0], -self.critic(self.generator(z)).mean())
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.networks[0].parameters(), strict=True)
            old, new = (list(of) for of in zip(*pairs, strict=True))
            torch._foreach_lerp_(old, new, 1 - c.smoothing)
