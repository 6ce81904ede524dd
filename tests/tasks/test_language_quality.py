"""Known answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from bench.tasks.language_quality import LanguageEvaluation, require_tokens

LOGITS = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]).log()  # of two positions


def evaluated(*batches: tuple[torch.Tensor, torch.Tensor], **options: float) -> dict[str, float]:
    evaluation = LanguageEvaluation(**options)
    for outputs, targets in batches:
        evaluation.update(outputs, targets)
    return evaluation.compute()


def test_known_answers() -> None:
    values = evaluated((LOGITS[None], torch.tensor([[0, 2]])), bytes_per_token=4.0)
    loss = -(math.log(0.5) + math.log(0.1)) / 2
    assert values == pytest.approx(
        {
            "loss": loss,
            "perplexity": math.sqrt(1 / (0.5 * 0.1)),
            "accuracy": 1 / 2,
            "bits_per_byte": math.log2(1 / (0.5 * 0.1)) / 2 / 4,
        }
    )


def test_uniform_bytes_are_eight_bits() -> None:
    values = evaluated((torch.zeros(2, 3, 256), torch.zeros(2, 3).long()), bytes_per_token=1.0)
    assert values["bits_per_byte"] == pytest.approx(8)
    assert values["perplexity"] == pytest.approx(256)


def test_bits_per_byte_needs_the_bytes_per_token() -> None:
    assert "bits_per_byte" not in evaluated((LOGITS[None], torch.tensor([[0, 2]])))


def test_batches_count_by_their_tokens() -> None:
    """A mean over the two batches would weigh the last token as much as the first four."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator)
    targets = torch.randint(7, (5,), generator=generator)
    values = evaluated(
        (logits[:4].reshape(2, 2, 7), targets[:4].reshape(2, 2)),
        (logits[4:].reshape(1, 1, 7), targets[4:].reshape(1, 1)),
    )
    assert values["loss"] == pytest.approx(float(cross_entropy(logits.double(), targets)), rel=1e-6)
    assert values["accuracy"] == int((logits.argmax(dim=1) == targets).sum()) / 5


def test_ignored_tokens_do_not_count() -> None:
    evaluation = LanguageEvaluation()
    evaluation.update(LOGITS[None], torch.tensor([[0, -100]]))
    evaluation.update(torch.full((1, 2, 3), math.nan), torch.tensor([[-100, -100]]))
    assert evaluation.num_samples == 1
    values = evaluation.compute()
    assert values == pytest.approx({"loss": math.log(2), "perplexity": 2, "accuracy": 1})


def test_the_sum_is_a_double() -> None:
    """One batch has 1e8 nats, the others 1 each: float32 would lose them beside it."""
    wrong = torch.tensor([[[1e8, 0.0]]])
    near = torch.tensor([[[0.0, math.log(math.e - 1)]]])  # costs 1 nat of token 0
    token = torch.tensor([[0]])
    values = evaluated((wrong, 1 - token), *[(near, token)] * 99)
    assert values["loss"] * 100 == pytest.approx(1e8 + 99, abs=1)
    assert values["perplexity"] == math.inf


def test_half_precision_is_summed_in_double() -> None:
    logits = torch.zeros(3, 1000, 2, dtype=torch.bfloat16)
    values = evaluated((logits, torch.zeros(3, 1000, dtype=torch.long)))
    assert values["loss"] == pytest.approx(math.log(2), rel=1e-6)


def test_a_token_that_was_ruled_out_costs_infinitely_much() -> None:
    values = evaluated((torch.tensor([[[-math.inf, 0.0], [0.0, 1.0]]]), torch.tensor([[0, 1]])))
    assert values["loss"] == values["perplexity"] == math.inf
    assert values["accuracy"] == 1 / 2


@pytest.mark.parametrize("row", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_a_token_without_a_distribution_is_wrong(row: list[float]) -> None:
    values = evaluated((torch.tensor([[[0.0, 1.0], row]]), torch.tensor([[1, 0]])))
    assert values["accuracy"] == 1 / 2
    assert math.isnan(values["loss"])
    assert math.isnan(values["perplexity"])
    nothing = evaluated((torch.tensor([[row]]), torch.tensor([[0]])), bytes_per_token=1.0)
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.parametrize("batches", [[], [(LOGITS[None], torch.tensor([[-100, -100]]))]])
def test_a_split_without_a_token_is_refused(
    batches: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    with pytest.raises(ValueError, match="no token to evaluate"):
        evaluated(*batches)


@pytest.mark.parametrize("outputs", [(2, 3), (2, 4, 5)])
def test_outputs_that_are_no_logits_of_tokens_are_refused(outputs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, context, vocabulary_size\)"):
        evaluated((torch.zeros(outputs), torch.zeros(2, 3).long()))


def test_a_token_outside_the_vocabulary_is_named() -> None:
    require_tokens(torch.tensor([[0, 4, -100]]), 5)
    require_tokens(torch.tensor([[-100]]), 5)
    with pytest.raises(ValueError, match="data: val: a token is 5, must be 0 to 4"):
        require_tokens(torch.tensor([[0, 5]]), 5, where="data: val")
