"""Distillation: trains a student on the outputs of a trained teacher and on the labels.

The clock includes the teacher's forward pass of every training batch, because it is part of the
cost of such a training. Evaluations use the student alone, as in any other run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from typing_extensions import override

from bench.tasks.loaders import Batch
from bench.tasks.task import Task
from bench.tasks.task_module import MakeOptimizer, MakeSchedule, TaskModule


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    alpha: float,
) -> Tensor:
    """Loss of a student against its teacher's outputs and against the labels, a scalar in nats.

    alpha * T^2 * KL(p_T || q_T) + (1 - alpha) * cross-entropy(q_1, labels), where p and q are the
    probabilities of teacher and student from logits divided by T; means over the batch. The factor
    T^2 compensates for the gradients of the first part, which shrink as 1 / T^2.

    Args:
        student_logits: Shape (n, num_classes), n >= 1.
        teacher_logits: Shape (n, num_classes).
        labels: Classes, int64 of shape (n,).
        temperature: T, positive.
        alpha: Weight of the teacher, in [0, 1].

    Source: Hinton et al., arXiv 1503.02531, section 2.
    """
    # Half precision is too coarse for logarithms of small probabilities.
    student, teacher = student_logits.float(), teacher_logits.float()
    divergence = kl_div(
        log_softmax(student / temperature, dim=1),
        log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return alpha * temperature**2 * divergence + (1 - alpha) * cross_entropy(student, labels)


class Teacher:
    """A trained network that is only used for its outputs.

    It is not a module, because as a part of the student's module it would be counted, saved, put
    into training mode and distributed over devices with it.
    """

    def __init__(self, network: nn.Module, *, channels_last: bool) -> None:
        """Take the network over, in evaluation mode and without gradients.

        Args:
            network: Maps images (n, c, h, w) to logits (n, num_classes).
            channels_last: Whether images and weights have channels last in memory.
        """
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self._memory_format).eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, c, h, w) on its device."""
        # Not inference mode: the student's backward pass needs these logits.
        with torch.no_grad():
            logits: Tensor = self.network(images.contiguous(memory_format=self._memory_format))
        return logits

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self.network.to(device)


class Distilled(TaskModule):
    """A classifier whose training loss is against its teacher and the labels."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        make_optimizer: MakeOptimizer,
        make_schedule: MakeSchedule,
        channels_last: bool,
        dtype: torch.dtype | None = None,
        *,
        teacher: Teacher,
        temperature: float,
        alpha: float,
    ) -> None:
        """Take a student and a teacher that is on the device of the training.

        Args:
            network: The student.
            task: Classification, with one class for each example.
            make_optimizer: As in TaskModule.
            make_schedule: As in TaskModule.
            channels_last: As in TaskModule.
            dtype: As in TaskModule; the teacher computes in the type that it was trained in.
            teacher: A network for the same classes.
            temperature: As in distillation_loss.
            alpha: As in distillation_loss.
        """
        super().__init__(network, task, make_optimizer, make_schedule, channels_last, dtype)
        self._teacher = teacher
        self._temperature = temperature
        self._alpha = alpha

    @override
    def networks(self) -> list[nn.Module]:
        """The student and its teacher."""
        return [self.network, self._teacher.network]

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch against teacher and labels, a scalar."""
        images, labels = batch
        return distillation_loss(
            self(images),
            self._teacher(images),
            labels,
            temperature=self._temperature,
            alpha=self._alpha,
        )
