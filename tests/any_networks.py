"""Small networks that take and return something else than a tensor and logits of classes."""

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, TOKENS = 11, 6


class Language(nn.Module):
    """Token ids ``(batch, tokens)`` to logits of the next token."""

    def __init__(self, width=8):
        super().__init__()
        self.embed, self.mix = nn.Embedding(VOCABULARY, width), nn.Linear(width, width)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids):
        hidden = torch.tanh(self.mix(self.embed(ids))).cumsum(1)
        return {"logits": self.head(hidden), "hidden": hidden}


class Dense(nn.Module):
    """Images to logits of every pixel."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 6, 3, padding=1)
        self.up = nn.Conv2d(6, 4, 1)

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


class TwoInputs(nn.Module):
    """A picture and a number of a category, to one number."""

    def __init__(self):
        super().__init__()
        self.picture, self.category = nn.Linear(5, 8), nn.Embedding(3, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, picture, category, scale=1.0):
        return self.head(torch.relu(self.picture(picture) + self.category(category)) * scale)[:, 0]


class Detector(nn.Module):
    """A list of images of any size to a box for each."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        return [self.head(self.body(image[None]).mean((2, 3))[0]) for image in images]


def language(batch=8):
    return (
        Language(),
        torch.randint(0, VOCABULARY, (batch, TOKENS)),
        torch.randint(0, VOCABULARY, (batch, TOKENS)),
    )


def dense(batch=8):
    return Dense(), torch.randn(batch, 3, 5, 5), torch.randint(0, 4, (batch, 5, 5))


def two_inputs(batch=8):
    inputs = {"picture": torch.randn(batch, 5), "category": torch.randint(0, 3, (batch,))}
    return TwoInputs(), inputs, torch.randn(batch)


def detector(batch=4):
    images = [torch.randn(3, 5 + place, 6) for place in range(batch)]
    targets = [{"box": torch.randn(4)} for _ in images]
    return Detector(), images, targets


def square_loss(outputs, targets):
    return F.mse_loss(outputs, targets)


def box_loss(outputs, targets):
    each = [F.mse_loss(box, target["box"]) for box, target in zip(outputs, targets, strict=True)]
    return torch.stack(each).mean()
