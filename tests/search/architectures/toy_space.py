"""A space of perceptrons that are measured in milliseconds."""

from itertools import pairwise

from torch import nn

PLACES, WIDEST = 4, 6


class Toy:
    name = "toy"
    input_shape = (5,)
    classes = 3

    def sample(self, random):
        return {"widths": [random.randint(1, WIDEST) for _ in range(PLACES)]}

    def mutate(self, config, random):
        widths = list(config["widths"])
        place = random.randrange(PLACES)
        widths[place] = random.choice([w for w in range(1, WIDEST + 1) if w != widths[place]])
        return {"widths": widths}

    def crossover(self, first, second, random):
        pairs = zip(first["widths"], second["widths"], strict=True)
        return {"widths": [random.choice(pair) for pair in pairs]}

    def build(self, config):
        layers, inputs = [], self.input_shape[0]
        for width in config["widths"]:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, self.classes))


def parameters(widths):
    sizes = [Toy.input_shape[0], *widths, Toy.classes]
    return sum((a + 1) * b for a, b in pairwise(sizes))


space = Toy()
