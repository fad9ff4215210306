"""What CIFAR-10 is, in numbers."""

MEAN = (0.4914, 0.4822, 0.4465)
"""Mean of the channels of CIFAR-10's training images: what the networks here have learned with."""

DEVIATION = (0.2470, 0.2435, 0.2616)
"""Standard deviation of the channels of CIFAR-10's training images."""

SIDE, CLASSES = 32, 10
