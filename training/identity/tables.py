"""What an evaluation found, as lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = (
    f"{'setting':<8}{'method':<22}{'EER%':>8}{'FMR100%':>9}{'FMR1000%':>10}{'95 %':>16}{'change %':>14}"
    f"{'AUC':>8}{'G-mean':>8}{'I-mean':>8}{'FDR':>8}"
)
"""`95 %` is the interval of FMR1000, `change` that of its relative change against the baseline."""


def table(told: Mapping[str, Any]) -> str:
    """The measures of `evaluate.scores(...).told`, in per cent where they are rates."""
    parts = [("all photos", told["settings"])]
    if "drawn" in told:
        drawn = told["drawn"]
        parts.append((f"the first {drawn['photos']} photos, whose masks were drawn over", drawn["settings"]))
    lines = []
    for title, settings in parts:
        lines += [title, HEAD]
        lines += [_line(setting, name, row) for setting, rows in settings.items() for name, row in rows.items()]
    return "\n".join(lines)


def _line(setting: str, name: str, row: Mapping[str, Any]) -> str:
    between, changed = row["interval"]["fmr1000"], row["change"]["fmr1000"]
    return (
        f"{setting:<8}{name:<22}{100 * row['eer']:>8.2f}{100 * row['fmr100']:>9.2f}{100 * row['fmr1000']:>10.2f}"
        f"{_edges(between, '.1f'):>16}{_edges(changed, '+.0f'):>14}"
        f"{row['auc']:>8.4f}{row['genuine_mean']:>8.4f}{row['impostor_mean']:>8.4f}{row['fdr']:>8.3f}"
    )


def _edges(interval: Sequence[float] | None, form: str) -> str:
    return "?" if interval is None else " to ".join(format(100 * edge, form) for edge in interval)
