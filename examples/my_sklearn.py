"""A scikit-learn training of your own that writes the same record as bench.train.

Run it with `python my_sklearn.py`. `TargetWindow` measures any code, and needs no PyTorch.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from bench.runs.target_window import TargetWindow

config = {"data": "digits", "model": "linear", "batch_size": 32, "alpha": 1e-4, "seed": 0}
random = np.random.default_rng(config["seed"])
images, labels = load_digits(return_X_y=True)
train, val, train_labels, val_labels = train_test_split(images / 16, labels, random_state=0)
model = SGDClassifier(loss="log_loss", alpha=config["alpha"], random_state=config["seed"])

with TargetWindow(metric="accuracy", value=0.9, ladder=[0.8], config=config) as run:
    samples = 0
    for _ in range(50):
        order = random.permutation(len(train))
        for batch in np.split(order, range(32, len(order), config["batch_size"])):
            model.partial_fit(train[batch], train_labels[batch], classes=range(10))
            samples += len(batch)
        with run.evaluation():
            probabilities = model.predict_proba(val)
            accuracy = accuracy_score(val_labels, probabilities.argmax(1))
            loss = log_loss(val_labels, probabilities)
        if run.evaluated(samples=samples, accuracy=accuracy, loss=loss):
            break
print(run.record.target.time_to_target_s, run.record.target.energy_to_target_j)
