"""A LightningModule and a LightningDataModule of your own, for task=module of bench.train.

    python -m bench.train task=module model=custom model._target_=my_module.LitDigits \
        data=custom data._target_=my_module.Digits \
        target.metric=val_f1 target.mode=max target.value=0.9

They know nothing of this project. What validation logs is the quality of the curve and the record.
"""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassF1Score


class LitDigits(pl.LightningModule):
    """A user's optimizer is its own; `lr=0.01` on the command line would reach it."""

    def __init__(self, width=64, lr=0.003):
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        self.val_f1 = MulticlassF1Score(10)
        self.test_f1 = MulticlassF1Score(10)

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.val_f1(logits, y)
        self.log("val_f1", self.val_f1)
        self.log("val_loss", nn.functional.cross_entropy(logits, y))

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.test_f1(self(x), y)
        self.log("test_f1", self.test_f1)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches  # those of budget.max_epochs
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)]


class Digits(pl.LightningDataModule):
    """`batch_size` is that of the command; `seed` is optional, and orders nothing here."""

    def __init__(self, batch_size=32):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        images, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
        fixed = torch.Generator().manual_seed(0)  # the same split for every seed of a run
        self.train, self.val, self.test = random_split(data, [0.6, 0.2, 0.2], fixed)

    def train_dataloader(self):
        return DataLoader(self.train, self.hparams.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val, 256)

    def test_dataloader(self):
        return DataLoader(self.test, 256)
