"""A plain PyTorch training of your own that writes the same record as bench.train.

Run it with `python my_own_loop.py`. `TargetWindow` measures its `with` block, and `evaluated` says
when the target is reached. On a GPU, give it `synchronize=torch.cuda.synchronize` and `gpus=`.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from bench.runs.target_window import TargetWindow

config = {"data": "digits", "model": "mlp", "batch_size": 32, "lr": 0.003, "seed": 0}
torch.manual_seed(config["seed"])
images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images / 16).float(), torch.tensor(labels)
train, val = torch.randperm(len(labels)).split([1437, 360])
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])

with TargetWindow(metric="accuracy", value=0.9, ladder=[0.8], config=config) as run:
    samples = steps = 0
    for _ in range(50):
        for batch in train[torch.randperm(len(train))].split(config["batch_size"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            samples, steps = samples + len(batch), steps + 1
        with run.evaluation(), torch.no_grad():
            logits = model(images[val])
            accuracy = (logits.argmax(1) == labels[val]).float().mean()
            loss = nn.functional.cross_entropy(logits, labels[val])
        if run.evaluated(samples=samples, steps=steps, accuracy=accuracy, loss=loss):
            break
print(run.record.target.time_to_target_s, run.record.target.energy_to_target_j)
