"""Model classes: plain ``nn.Module`` classes.

Each is built as ``ModelClass(input_shape, n_outputs, **architecture)``.
"""

from hw1.models.cnn import CNN
from hw1.models.lstm import LSTM
from hw1.models.mlp import MLP
from hw1.models.resnet import ResNet

__all__ = ["CNN", "LSTM", "MLP", "ResNet"]
