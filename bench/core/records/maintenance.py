"""What it costs to keep a deployed model accurate: the run as a whole, its windows, its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.core.labels import EnergyLabel

EventKind = Literal[
    "change", "initial", "retraining", "promotion", "rejection", "alarm", "reweighting"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """A row of windows.jsonl: one window of the stream, written when it has been served.

    Times and joules are those of the window alone.

    Attributes:
        window: Number of the window, from 0.
        first: Number of its first prediction in the stream.
        num_predictions: Predictions served.
        num_judged: Predictions whose truth is ever known; accuracy and errors are over these.
        errors: Wrong predictions among them.
        accuracy: Share of right predictions. None if the truth of none is known.
        num_known: Labels that became known in this window, whichever window they belong to.
        num_paid: Labels among them that were paid for; 0 if nobody uses labels.
        known_accuracy: Accuracy of the deployed model over these; what a policy can see. None if
            there is none.
        estimate: Accuracy that the policy believes; None if it has no belief.
        statistic: Statistic of the detector; None without one.
        threshold: Its threshold.
        alarm: Number of the prediction at which the detector raised an alarm; None without.
        model: Number of the model that is deployed at the end of the window: 0 is the first one.
        strength: Mean strength of the drift, 0 to 1; None for a drift of the data itself.
        staleness: Predictions since the newest label that the deployed model had learned, mean.
        held_out_errors: Predictions that were let through to learn their labels, and were harmful.
        serve_s: Seconds in the phase `serve`; the next ones likewise.
        detect_s: Seconds in the phase `detect`.
        decide_s: Seconds in the phase `decide`.
        retrain_s: Seconds in the phase `retrain`.
        promote_s: Seconds in the phase `promote`.
        observe_s: Seconds in the phase `observe`.
        serve_j: Joules in the phase `serve`; None if unknown.
        detect_j: Joules in the phase `detect`.
        decide_j: Joules in the phase `decide`.
        retrain_j: Joules in the phase `retrain`.
        promote_j: Joules in the phase `promote`.
        observe_j: Joules in the phase `observe`.
    """

    window: int
    first: int
    num_predictions: int
    num_judged: int
    errors: int
    accuracy: float | None
    num_known: int
    num_paid: int = 0
    known_accuracy: float | None
    estimate: float | None = None
    statistic: float | None = None
    threshold: float | None = None
    alarm: int | None = None
    model: int
    strength: float | None = None
    staleness: float | None = None
    held_out_errors: int = 0
    serve_s: float = 0.0
    detect_s: float = 0.0
    decide_s: float = 0.0
    retrain_s: float = 0.0
    promote_s: float = 0.0
    observe_s: float = 0.0
    serve_j: float | None = None
    detect_j: float | None = None
    decide_j: float | None = None
    retrain_j: float | None = None
    promote_j: float | None = None
    observe_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceEvent:
    """A row of events.jsonl, written when it happens.

    Attributes:
        kind: `change`: something really begins to change at that prediction, as the stream knows;
            written before the first window. `initial`: the first model was trained. `retraining`: a
            model was trained. `promotion`: it took over. `rejection`: it was not better, and was
            dropped. `alarm`: the detector raised one. `reweighting`: the predicted probabilities
            got new factors.
        window: Window at whose end it happened; None before the stream.
        prediction: Number of the prediction at which it takes effect.
        model: Number of the model.
        reason: Why, in a few words.
        num_samples: Labelled samples to train on, without those held out.
        newest_label: Number of the newest prediction whose label is in the model; None for the
            initial samples.
        reached: Whether the training reached the target on its held-out samples.
        samples_to_target: Training samples until then.
        samples: Training samples seen.
        accuracy: Accuracy on the samples held out of this training.
        deployed_accuracy: Accuracy of the deployed model on the same samples.
        init_s: Seconds of its set-up.
        total_s: Seconds from its decision to the trained model.
        energy_j: Joules in that time; None if unknown.
        energy_label: Weakest label of their components.
        is_false: For an alarm: whether nothing had changed since the oldest sample of the deployed
            model. None if nobody knows.
        delay: For an alarm: predictions since the change that it found.
    """

    kind: EventKind
    window: int | None
    prediction: int
    model: int | None = None
    reason: str = ""
    num_samples: int | None = None
    newest_label: int | None = None
    reached: bool | None = None
    samples_to_target: int | None = None
    samples: int | None = None
    accuracy: float | None = None
    deployed_accuracy: float | None = None
    init_s: float | None = None
    total_s: float | None = None
    energy_j: float | None = None
    energy_label: EnergyLabel | None = None
    is_false: bool | None = None
    delay: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """What a policy achieved on a stream, and what it needed.

    Its seconds and joules by phase are in Phases and PhaseEnergy. Upkeep is what serving alone does
    not need: the phases `detect`, `decide`, `retrain` and `promote`.

    Attributes:
        policy: Name of the policy.
        detector: Name of the detector; None without one.
        num_windows: Windows served.
        num_predictions: Predictions served.
        target_value: The accuracy to hold.
        on_target_frac: Share of the predictions that were served in windows whose accuracy was at
            least the target. Windows without any known truth do not count.
        excess_errors: Sum over the windows below the target of predictions x (target - accuracy).
        num_errors: Wrong predictions.
        mean_accuracy: Share of right predictions in the whole stream.
        worst_accuracy: Accuracy of the worst window.
        num_retrains: Retrainings, without the initial training.
        num_promoted: Models that took over.
        num_wasted: Promotions after which the next full window was no better than the last one
            before, by two standard errors of their difference.
        retrain_init_s: Part of `phases.retrain_s` that was set-up.
        retrain_samples: Training samples seen in all retrainings.
        detect_time_per_prediction_s: Seconds of detection / predictions.
        detect_energy_per_prediction_j: Joules of detection / predictions.
        monitor_latency_ratio: (Serving + detection) / serving, in seconds, median over windows.
        monitor_latency_ratio_low: Lower end of its 95% interval.
        monitor_latency_ratio_high: Upper end of its 95% interval.
        labels_used: Labels that were paid for: all that became known if the policy ever retrains,
            or if it or the detector goes by labels; else none.
        labels_cost_usd: Their price.
        held_out_errors: Harmful predictions let through to learn their labels.
        manual_hours: Hours of people.
        cost_usd: Joules and time of the upkeep at `price`, labels, and people. None if the joules
            have a price and are unknown.
        emissions_gco2e: Emissions of the joules of the upkeep.
        upkeep_j: Joules of the upkeep.
        energy_per_1000_on_target_j: Energy to stay accurate: joules of the upkeep per 1,000
            predictions in windows at or above the target. None if there is no such window.
        staleness_mean: Predictions since the newest label that the deployed model had learned,
            mean over predictions. The initial samples count as prediction 0.
        swap_delay_mean: Predictions between a decision to retrain and the new model, mean.
        num_alarms: Alarms of the detector.
        num_false_alarms: Alarms when nothing had changed since the oldest sample of the deployed
            model. None for a drift of the data itself.
        false_alarms_per_10k: The same per 10,000 predictions.
        num_missed: Changes that no alarm followed before the next change or the end.
        detection_delay_mean: Predictions from a change to its alarm, mean over those found.
        matrix_run_id: For an oracle: the run whose matrix it used; its own id if it made one.
        regret_reason: Why this run cannot be compared with an oracle; empty if it can.
    """

    policy: str
    detector: str | None = None
    num_windows: int
    num_predictions: int
    target_value: float
    on_target_frac: float | None = None
    excess_errors: float | None = None
    num_errors: int | None = None
    mean_accuracy: float | None = None
    worst_accuracy: float | None = None
    num_retrains: int = 0
    num_promoted: int = 0
    num_wasted: int = 0
    retrain_init_s: float | None = None
    retrain_samples: int = 0
    detect_time_per_prediction_s: float | None = None
    detect_energy_per_prediction_j: float | None = None
    monitor_latency_ratio: float | None = None
    monitor_latency_ratio_low: float | None = None
    monitor_latency_ratio_high: float | None = None
    labels_used: int = 0
    labels_cost_usd: float | None = None
    held_out_errors: int = 0
    manual_hours: float = 0.0
    cost_usd: float | None = None
    emissions_gco2e: float | None = None
    upkeep_j: float | None = None
    energy_per_1000_on_target_j: float | None = None
    staleness_mean: float | None = None
    swap_delay_mean: float | None = None
    num_alarms: int = 0
    num_false_alarms: int | None = None
    false_alarms_per_10k: float | None = None
    num_missed: int | None = None
    detection_delay_mean: float | None = None
    matrix_run_id: str | None = None
    regret_reason: str = ""
