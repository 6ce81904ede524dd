"""The transformer: it looks back only, its cache changes nothing, and its size is as derived."""

from __future__ import annotations

import io

import pytest
import torch

from bench.tasks.decoding import generate
from bench.tasks.flops import count_flops
from bench.tasks.gpt import Gpt, KeyValueCache

VOCABULARY, CONTEXT, WIDTH, DEPTH = 11, 8, 12, 2
TOKENS = torch.arange(24).reshape(3, 8) * 5 % VOCABULARY


@pytest.fixture
def model() -> Gpt:
    torch.manual_seed(0)
    made = Gpt(VOCABULARY, CONTEXT, width=WIDTH, depth=DEPTH, heads=3).eval()
    for weight in made.parameters():  # as large as after a training, so that tokens matter
        torch.nn.init.normal_(weight, std=0.5)
    return made


def test_logits_depend_on_no_later_token(model: Gpt) -> None:
    logits = model(TOKENS)
    assert logits.shape == (3, 8, VOCABULARY)
    changed = TOKENS.clone()
    changed[:, 5] = (changed[:, 5] + 1) % VOCABULARY
    after = model(changed)
    assert torch.equal(logits[:, :5], after[:, :5])
    assert not torch.isclose(logits[:, 5:], after[:, 5:]).all(dim=2).any()


def test_a_cache_changes_no_logit(model: Gpt) -> None:
    with torch.no_grad():
        expected = model(TOKENS)
        logits, cache = model.prefill(TOKENS[:, :3])
        torch.testing.assert_close(logits, expected[:, 2], atol=1e-5, rtol=0)
        for place in range(3, 8):
            logits, cache = model.step(TOKENS[:, place], cache)
            torch.testing.assert_close(logits, expected[:, place], atol=1e-5, rtol=0)
        assert cache.num_tokens == 8


def test_several_tokens_at_once_continue_a_cache(model: Gpt) -> None:
    with torch.no_grad():
        cache = KeyValueCache(DEPTH)
        parts = [model(part, cache) for part in (TOKENS[:, :3], TOKENS[:, 3:7], TOKENS[:, 7:])]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(TOKENS), atol=1e-5, rtol=0)


def test_greedy_decoding_takes_the_highest_logit_of_each_step(model: Gpt) -> None:
    tokens = TOKENS[:, :3]
    for _ in range(5):
        tokens = torch.cat([tokens, model(tokens)[:, -1].argmax(dim=1, keepdim=True)], dim=1)
    assert torch.equal(generate(model, TOKENS[:, :3], 5), tokens[:, 3:])


def test_more_tokens_than_the_context_are_refused(model: Gpt) -> None:
    words = "a sequence of 9 tokens is longer than the model's context of 8"
    with pytest.raises(ValueError, match=words):
        generate(model, TOKENS[:, :3], 7)  # the last token is not read, so 6 would do


def test_its_size(model: Gpt) -> None:
    # Of each block: two norms of 2w, attention of 3w(w + 1) and w(w + 1), an MLP of 4w(w + 1) and
    # w(4w + 1). Besides: the tokens once, though they also give the logits, positions, a norm.
    attention, mlp = 4 * WIDTH * (WIDTH + 1), 4 * WIDTH * (WIDTH + 1) + WIDTH * (4 * WIDTH + 1)
    block = 2 * 2 * WIDTH + attention + mlp
    expected = DEPTH * block + (VOCABULARY + CONTEXT + 2) * WIDTH
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_its_flops(model: Gpt) -> None:
    # Two per multiply-add: per token 12 w^2 in a block and w x vocabulary for the logits, and
    # 2 x context x w in the attention of each block, of which causal attention could save half.
    per_token = DEPTH * (12 * WIDTH**2 + 2 * CONTEXT * WIDTH) + WIDTH * VOCABULARY
    flops, uncounted = count_flops(model, TOKENS[:1])
    assert flops == 2 * CONTEXT * per_token
    assert uncounted == ["aten.add", "aten.gelu", "aten.native_layer_norm"]


def test_it_is_saved_and_loaded(model: Gpt) -> None:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = Gpt(VOCABULARY, CONTEXT, width=WIDTH, depth=DEPTH, heads=3).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(model(TOKENS), other(TOKENS))


def test_every_weight_is_trained_also_with_dropout() -> None:
    model = Gpt(VOCABULARY, CONTEXT, width=WIDTH, depth=1, heads=1, dropout=0.5)
    model(TOKENS).logsumexp(dim=2).mean().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert not torch.equal(model(TOKENS), model(TOKENS))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heads": 5}, "model.heads=5: must divide model.width=12"),
        ({"depth": 0}, "model.depth=0: must be at least 1"),
        ({"width": 0}, "model.width=0: must be at least 1"),
        ({"heads": 0}, "model.heads=0: must be at least 1"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be at least 0 and less than 1"),
        (
            {"vocabulary_size": None, "num_classes": 10},
            "model=gpt: reads tokens, and this data has",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    sizes = {"vocabulary_size": VOCABULARY, "context": CONTEXT, "width": WIDTH, "depth": 1}
    with pytest.raises(ValueError, match=words):
        Gpt(**{**sizes, "heads": 3, **changes})  # type: ignore[arg-type]
