"""The distillation loss, calculated by hand, and what must not happen to the teacher."""

from __future__ import annotations

import copy
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.compression.distill import Distilled, Teacher, distillation_loss
from bench.tasks.find_task import make_task
from bench.tasks.models import Cnn
from bench.tasks.quality import quality
from bench.tasks.schedules import constant

LABELS = torch.tensor([0])
# Divided by T = 2, logits of 2 log 3 and 0 give probabilities of 3/4 and 1/4.
TEACHER = torch.tensor([[2 * math.log(3), 0.0]])
# KL((3/4, 1/4) || (1/2, 1/2)) = 3/4 log(3/2) + 1/4 log(1/2).
KL = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)


def loss(student: Tensor, teacher: Tensor, *, temperature: float, alpha: float) -> float:
    labels = LABELS.expand(len(student))
    return distillation_loss(student, teacher, labels, temperature=temperature, alpha=alpha).item()


def test_the_loss_is_t_squared_times_the_divergence_and_the_rest_cross_entropy() -> None:
    student = torch.zeros(1, 2)  # cross-entropy log 2
    value = loss(student, TEACHER, temperature=2.0, alpha=0.9)
    assert value == pytest.approx(0.9 * 4 * KL + 0.1 * math.log(2))


def test_a_temperature_softens_both_outputs() -> None:
    # Over 2, the student's 2 log 3 gives (3/4, 1/4) too: no divergence. The cross-entropy is at
    # T = 1: exp(2 log 3) = 9 to 1, a probability of 9/10 for the label.
    value = loss(TEACHER, TEACHER, temperature=2.0, alpha=0.25)
    assert value == pytest.approx(0.75 * math.log(10 / 9))


def test_the_divergence_is_from_the_teacher_to_the_student() -> None:
    # KL is not symmetric: KL((1/2, 1/2) || (3/4, 1/4)) = 1/2 log(2/3) + 1/2 log 2.
    value = loss(TEACHER, torch.zeros(1, 2), temperature=2.0, alpha=1.0)
    assert value == pytest.approx(4 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2)))
    assert value != pytest.approx(4 * KL, rel=0.01)


def test_the_loss_is_a_mean_over_the_batch_and_not_over_classes() -> None:
    # The second sample agrees with its teacher, so that half of the divergence is left.
    student = torch.cat([torch.zeros(1, 2), TEACHER])
    value = loss(student, TEACHER.expand(2, 2), temperature=2.0, alpha=1.0)
    assert value == pytest.approx(4 * KL / 2)


def test_without_a_share_of_the_teacher_it_is_cross_entropy() -> None:
    student = torch.randn(5, 4)
    labels = torch.tensor([0, 1, 2, 3, 0])
    value = distillation_loss(student, torch.randn(5, 4), labels, temperature=3.0, alpha=0.0)
    assert value.item() == pytest.approx(cross_entropy(student, labels).item())


def test_the_gradient_is_t_times_the_difference_of_probabilities() -> None:
    # d/dz T^2 KL(p || q(z / T)) = T (q - p) = 2 * ((1/2, 1/2) - (3/4, 1/4)).
    student = torch.zeros(1, 2, requires_grad=True)
    distillation_loss(student, TEACHER, LABELS, temperature=2.0, alpha=1.0).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.tolist()[0] == pytest.approx([-0.5, 0.5])


def test_half_precision_logits_are_compared_in_full_precision() -> None:
    student, teacher = torch.zeros(1, 2).bfloat16(), TEACHER.bfloat16()
    value = distillation_loss(student, teacher, LABELS, temperature=2.0, alpha=1.0)
    assert value.dtype == torch.float32
    expected = loss(student.float(), teacher.float(), temperature=2.0, alpha=1.0)
    assert value.item() == pytest.approx(expected)


@pytest.fixture
def trained() -> nn.Module:
    torch.manual_seed(0)
    return Cnn((1, 8, 8), 10, width=4, depth=2)


DATA = SimpleNamespace(input_shape=(1, 8, 8), num_classes=10, num_train_samples=8)


def distilled(student: nn.Module, teacher: nn.Module) -> Distilled:
    return Distilled(
        student,
        make_task("classification", DATA),
        partial(torch.optim.SGD, lr=0.1),
        partial(constant, lr=0.1, total_steps=1),
        channels_last=False,
        teacher=Teacher(teacher, channels_last=False),
        temperature=2.0,
        alpha=0.5,
    )


def test_the_teacher_is_not_part_of_the_module(trained: nn.Module) -> None:
    student = Cnn((1, 8, 8), 10, width=2, depth=1)
    names = {f"network.{name}" for name in student.state_dict()}
    module = distilled(student, trained)
    assert set(module.state_dict()) == names
    own = sum(parameter.numel() for parameter in student.parameters())
    assert sum(parameter.numel() for parameter in module.parameters()) == own
    assert trained not in list(module.modules())


def test_training_leaves_the_teacher_as_it_was(trained: nn.Module) -> None:
    before = copy.deepcopy(trained.state_dict())
    module = distilled(Cnn((1, 8, 8), 10, width=2, depth=1), trained)
    module.train()
    batch = (torch.randn(6, 1, 8, 8), torch.arange(6))
    module.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]

    assert not trained.training  # batch-norm statistics are used and not moved
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    assert all(parameter.grad is None for parameter in trained.parameters())
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_step_is_the_loss_of_the_batch_and_an_evaluation_is_of_the_student_alone(
    trained: nn.Module,
) -> None:
    student = Cnn((1, 8, 8), 10, width=2, depth=1)
    module = distilled(student, trained).eval()
    images, labels = torch.randn(6, 1, 8, 8), torch.arange(6)
    expected = distillation_loss(
        student(images), trained.eval()(images), labels, temperature=2.0, alpha=0.5
    )
    assert module.training_step((images, labels), 0).item() == pytest.approx(expected.item())

    module.on_validation_epoch_start()
    module.validation_step((images, labels), 0)
    assert module.take_validation_quality() == quality(student(images).detach(), labels)


def test_a_teacher_answers_in_the_memory_format_of_the_training(trained: nn.Module) -> None:
    images = torch.randn(3, 1, 8, 8)
    expected = copy.deepcopy(trained).eval()(images)
    teacher = Teacher(trained, channels_last=True)
    answered = teacher(images)
    assert not answered.requires_grad
    assert torch.allclose(answered, expected, atol=1e-6)
    weights = [p for p in trained.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
