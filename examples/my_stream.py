"""A stream of your own: stream=custom stream.source._target_=my_stream.pump uses it.

A pump wears out, so that it fails more and more often under the same load. Its samples are in the
order of time, so this drift is the stream's own. A failure is only noticed at the next inspection.
"""

import numpy as np

from bench.drift.samples import Pool, Samples

INSPECTED_EVERY = 50  # samples


def pump(num_samples=3000, seed=0):
    generator = np.random.default_rng(seed)
    number = np.arange(num_samples)
    oil_f = generator.normal(120, 8, num_samples)
    load = generator.uniform(0, 1, num_samples)
    wear = number / num_samples
    logit = 4 * (load - 0.6) + 2 * wear + (oil_f - 120) / 10
    fails = generator.random(num_samples) < 1 / (1 + np.exp(-logit))
    samples = Samples(
        ids=number,
        features=np.stack([oil_f, load], axis=1).astype(np.float32),
        labels=fails.astype(np.int64),
        known_after=INSPECTED_EVERY - 1 - number % INSPECTED_EVERY,
    )
    return Pool(samples=samples, num_classes=2, feature_names=["oil_f", "load"], is_ordered=True)
