"""A search space of one's own: small convolutional networks in three stages.

autoprox search --space examples/cnn_space.py --proxy zico --params :300K --evaluations 200
"""

from torch import nn

WIDTHS = (8, 12, 16, 24, 32)
DEPTHS = (1, 2, 3)
KERNELS = (3, 5)
STAGES = 3


class CnnSpace:
    """Width, depth and kernel of every stage."""

    name = "cnn"
    input_shape = (3, 32, 32)
    classes = 10

    def sample(self, random):
        """Draw every stage. All that is random comes from `random`, a `random.Random`."""
        return {
            "widths": [random.choice(WIDTHS) for _ in range(STAGES)],
            "depths": [random.choice(DEPTHS) for _ in range(STAGES)],
            "kernels": [random.choice(KERNELS) for _ in range(STAGES)],
        }

    def mutate(self, config, random):
        """Draw one choice of one stage again."""
        options = {"widths": WIDTHS, "depths": DEPTHS, "kernels": KERNELS}
        name, stage = random.choice(list(options)), random.randrange(STAGES)
        values = list(config[name])
        values[stage] = random.choice(options[name])
        return {**config, name: values}

    def crossover(self, first, second, random):
        """Take every choice from one of two; a space need not have this."""
        return {name: list(random.choice((first, second))[name]) for name in first}

    def build(self, config):
        """Return the untrained network, ``(batch, 3, 32, 32) -> (batch, 10)``."""
        layers, channels = [], 3
        for width, depth, kernel in zip(
            config["widths"], config["depths"], config["kernels"], strict=True
        ):
            for _ in range(depth):
                layers += [
                    nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, self.classes)]
        return nn.Sequential(*layers, *head)


space = CnnSpace()
