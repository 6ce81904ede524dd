"""How the numbers of figures are computed, in a sentence with its source, for their captions."""

from __future__ import annotations

from analysis.figures.entries import TRADEOFF

_MEDIANS = "Intervals, from 6 runs on, by order statistics (Conover, section 3.2)."
_FRONT = (
    "Front: no other configuration is better beyond the uncertainty of the difference (Zou and"
    " Donner, 2008); shares by the bootstrap (Efron and Tibshirani)."
)
_SUMS = "Means of parts, which add up to the mean of the whole."
_FACTORS = "Cost to the target = samples to the target x cost per sample."
_LIFE = "Cost = that of training + number of predictions x that of a prediction."

# Figures whose own words say everything have no row.
METHODS: dict[str, str] = {
    **dict.fromkeys(("batch_size_time", "batch_size_energy"), _MEDIANS),
    **dict.fromkeys(("ladder_time", "ladder_energy", "detectors"), _MEDIANS),
    **dict.fromkeys(("factors_time", "factors_energy"), f"{_FACTORS} {_MEDIANS}"),
    **dict.fromkeys(("tta_eta", "quality_latency", "quality_prediction_energy"), _FRONT),
    **dict.fromkeys(("throughput_latency", "maintenance_pareto", TRADEOFF), _FRONT),
    **dict.fromkeys(("phases", "phase_energy", "energy_components", "stages"), _SUMS),
    "maintenance_costs": _SUMS,
    **dict.fromkeys(("life_cycle_time", "life_cycle_energy", "life_cycle_cost"), _LIFE),
    "hits": (
        "Kaplan and Meier (1958), bounds by Greenwood's formula on the log(-log) scale; a failure"
        " competes with a hit (Fine and Gray, 1999); log-rank test of Mantel (1966)."
    ),
    "restarts": (
        "Expected time: the time of all runs divided by the number of hits (Auger and Hansen,"
        " 2005); tries: simulated restarts (Hansen et al., arXiv 1605.03560)."
    ),
    "ecdf_targets": "Runtime distribution over targets (Hansen et al., arXiv 1605.03560).",
    "latency": "Percentiles and samples they need: MLPerf Inference (Reddi et al., 1911.02549).",
    "policy_price": "Total = cost of upkeep + wrong predictions x price of an error.",
    "history": "Change points: Matteson and James (2014), A nonparametric approach.",
}
