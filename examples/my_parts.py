"""A model and a data set of your own, for bench.train.

my_conf/experiment/cancer.yaml names both.
"""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset, random_split


def two_layers(*, input_shape, num_classes, hidden=16):
    num_inputs = input_shape[0] * input_shape[1] * input_shape[2]
    layers = nn.Linear(num_inputs, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
    return nn.Sequential(nn.Flatten(), *layers)


class BreastCancer(pl.LightningDataModule):
    num_classes, input_shape = 2, (30, 1, 1)

    def __init__(self, *, batch_size, seed):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    def setup(self, stage):
        x, y = load_breast_cancer(return_X_y=True)
        x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)[:, :, None, None]
        fixed = torch.Generator().manual_seed(0)  # the same split for every seed of a run
        data = TensorDataset(x, torch.tensor(y))
        self.train, self.val, self.test = random_split(data, [0.6, 0.2, 0.2], fixed)
        self.num_train_samples = len(self.train)

    def train_dataloader(self):
        # batch_size counts the samples of all processes together; each takes its own share.
        num, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order = DistributedSampler(self.train, num, rank, seed=self.seed, drop_last=True)
        return DataLoader(self.train, self.batch_size // num, sampler=order, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val, 256)

    def test_dataloader(self):
        return DataLoader(self.test, 256)
