"""Unusual but legal modules of users, with their data."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

NUM_TRAIN, NUM_VAL, NUM_TEST = 12, 5, 6
Pair = tuple[Tensor, Tensor]


class Data(pl.LightningDataModule):
    """Rows of two numbers; the label says whether the first one is positive."""

    def __init__(self, batch_size: int, drop_last: bool = False) -> None:
        super().__init__()
        self.batch_size, self.drop_last = batch_size, drop_last

    def setup(self, stage: str) -> None:
        draws = torch.Generator().manual_seed(0)
        sizes = (NUM_TRAIN, NUM_VAL, NUM_TEST)
        self.splits = [self.changed(torch.randn(num, 2, generator=draws)) for num in sizes]

    def changed(self, x: Tensor) -> Tensor:
        return x

    def loader(self, index: int, **options: Any) -> Any:
        x = self.splits[index]
        return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), **options)

    def train_dataloader(self) -> Any:
        return self.loader(0, batch_size=self.batch_size, drop_last=self.drop_last)

    def val_dataloader(self) -> Any:
        return self.loader(1, batch_size=3)

    def test_dataloader(self) -> Any:
        return self.loader(2, batch_size=3)


class Seeded(Data):
    """Takes the seed, too, and has no test split."""

    test_dataloader = pl.LightningDataModule.test_dataloader

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__(batch_size)
        self.seed = seed


class Missing(Data):
    def changed(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, torch.nan, x)


class MissingLater(Data):
    """The first training batch is complete."""

    def changed(self, x: Tensor) -> Tensor:
        return torch.cat([x[:6], torch.full_like(x[6:], torch.nan)])


class Half(Data):
    """Gives half of what it was asked for."""

    def train_dataloader(self) -> Any:
        return self.loader(0, batch_size=self.batch_size // 2)


class Named(Dataset[dict[str, Tensor]]):
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index], "y": (self.x[index, 0] > 0).long()}


class Dicts(Data):
    """Batches are dicts."""

    def loader(self, index: int, **options: Any) -> Any:
        return DataLoader(Named(self.splits[index]), **options)


class _Rows(IterableDataset[Pair]):
    def __init__(self, rows: list[Pair]) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        return iter(self.rows)


class Stream(Data):
    """Its training loader has no length."""

    def train_dataloader(self) -> Any:
        x = self.splits[0]
        rows = list(zip(x, (x[:, 0] > 0).long(), strict=True))
        return DataLoader(_Rows(rows), batch_size=self.batch_size)


class CountedStream(Stream):
    num_train_samples = NUM_TRAIN


class Plain(pl.LightningModule):
    """Learns the label, and logs accuracy and loss under names of its own."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr = lr
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        hits = (logits.argmax(1) == y).float()
        self.log("val/hits", hits.mean(), batch_size=len(y))
        self.log("val/loss", nn.functional.cross_entropy(logits, y), batch_size=len(y))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("test/hits", (self(x).argmax(1) == y).float().mean(), batch_size=len(y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Scheduled(Plain):
    """Its schedule is as long as the training; one that is stepped further would raise."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = self.trainer.estimated_stepping_batches
        assert self.trainer.max_epochs == 2
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=int(steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class OfDicts(Plain):
    """For batches that are dicts."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step((batch["x"], batch["y"]), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step((batch["x"], batch["y"]), batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        super().test_step((batch["x"], batch["y"]), batch_idx)


class ByHand(Plain):
    """Two optimizers, each stepped in every batch, as for a generator and a discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.other = nn.Linear(2, 2)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        optimizers: Any = self.optimizers()
        for optimizer, layer in zip(optimizers, (self.layer, self.other), strict=True):
            optimizer.zero_grad()
            self.manual_backward(nn.functional.cross_entropy(layer(x), y))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), 0.1) for layer in (self.layer, self.other)]


class Accumulating(Plain):
    """Takes an optimizer step in every second batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss / 2)
        if batch_idx % 2:
            optimizer: Any = self.optimizers()
            optimizer.step()
            optimizer.zero_grad()
        return {"loss": loss}


class NoForward(Plain):
    forward = pl.LightningModule.forward

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/hits", (self.layer(batch[0]).argmax(1) == batch[1]).float().mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log nothing."""


class BuffersOnly(pl.LightningModule):
    """A running mean of each class; there is nothing to optimize."""

    sums: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.register_buffer("sums", torch.zeros(2, 2))
        self.register_buffer("counts", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        means = self.sums / self.counts.clamp(min=1)[:, None]
        return -torch.cdist(x, means)

    def training_step(self, batch: Pair, batch_idx: int) -> None:
        x, y = batch
        self.sums.index_add_(0, y, x)
        self.counts.index_add_(0, y, torch.ones(len(y)))

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        hits = (self(batch[0]).argmax(1) == batch[1]).float()
        self.log("val/hits", hits.mean(), batch_size=len(hits))

    def configure_optimizers(self) -> None:
        return None


class TupleOutputs(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.layer(x), x

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self(batch[0])[0], batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/hits", (self(batch[0])[0].argmax(1) == batch[1]).float().mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/hits", (self(batch[0])[0].argmax(1) == batch[1]).float().mean())


class Tied(Plain):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.first.weight = self.layer.weight

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.first(x))


class Sparse(Plain):
    """A sparse embedding, which its optimizer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 2, sparse=True)

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.embedding((x[:, 0] > 0).long()))


class SparseAdam(Sparse):
    """A sparse embedding, which its optimizer does not take."""

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters())


class Lazy(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(2)


class Constant(Plain):
    """Logs the same values whatever it has learned."""

    def __init__(self, **values: float) -> None:
        super().__init__()
        self.values = values

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for name, value in self.values.items():
            self.log(name, value)


class Fading(Plain):
    """Logs its metric in the rehearsal and in the first evaluation only."""

    num: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num", torch.zeros(()))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", 1.0)
        if self.num == 0:
            self.log("val/hits", 0.5)

    def on_validation_epoch_end(self) -> None:
        self.num += 1


class Untested(Plain):
    """Fails in its test step."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        raise RuntimeError("no such split")


class Configured(Plain):
    """Takes its optimizer as a partial function."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__()
        self.make_optimizer = optimizer

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())


class Stopping(Plain):
    """Stops the trainer after an epoch, by a callback of its own."""

    def configure_callbacks(self) -> Any:
        return [_StopAfterEpoch()]


class _StopAfterEpoch(pl.Callback):
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = True


class TwoSplits(Data):
    """Validation has two loaders."""

    def val_dataloader(self) -> Any:
        return [self.loader(1, batch_size=3), self.loader(2, batch_size=3)]


class OfTwoSplits(Plain):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        super().validation_step(batch, batch_idx)


class Logging(Plain):
    """Calls its logger, in the test step, too."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self._write()
        return super().training_step(batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._write()
        super().test_step(batch, batch_idx)

    def _write(self) -> None:
        assert self.logger is not None
        self.logger.log_metrics({"mine": 1.0}, step=self.global_step)


class OfDigits(Plain):
    """For the images of data=digits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1))


class Unvalidated(Data):
    val_dataloader = pl.LightningDataModule.val_dataloader
