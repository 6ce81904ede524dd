"""A Lightning training of your own that writes the same record as bench.train.

Run it with `python my_training.py`. Adding `ProfilerCallback` is the only change that it needs.
"""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from bench.training.callback import ProfilerCallback


class Digits(pl.LightningModule):
    """Logs its validation accuracy as `val_acc`, which the callback judges."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        hits = self.network(images).argmax(1) == labels
        self.log("val_acc", hits.float().mean(), batch_size=len(labels))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.003)


pl.seed_everything(0)
images, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
train, val = random_split(digits, [0.8, 0.2])
data = DataLoader(train, 32, shuffle=True), DataLoader(val, 256)

profiler = ProfilerCallback(metric="accuracy", monitor="val_acc", value=0.95)
pl.Trainer(callbacks=[profiler], accelerator="cpu", max_epochs=50).fit(Digits(), *data)
print(profiler.record.target.time_to_target_s, profiler.record.target.energy_to_target_j)
