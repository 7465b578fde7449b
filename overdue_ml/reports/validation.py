"""The page of a validation: whether records can be used, which rules were broken, and by which rows."""

from __future__ import annotations

from markupsafe import Markup

from overdue_ml.records import RuleResult, ValidationReport
from overdue_ml.reports import svg
from overdue_ml.reports.page import render_page
from overdue_ml.reports.svg import clean

_WIDTH, _LEFT, _BAR, _ROW = 796.0, 110.0, 420.0, 26.0
_KEY, _MEANING, _REMARK = 60, 200, 600


def render_validation(report: ValidationReport, source: str) -> str:
    """Write the outcome of a validation as a self-contained HTML page.

    Parameters
    ----------
    report : ValidationReport
    source : str
        What was validated, as a person calls it.

    Returns
    -------
    str
        HTML without scripts or requests; the same input gives the same bytes.
    """
    broken = sorted((r for r in report.rules if r.rows_rejected), key=lambda r: -r.rows_rejected)
    limit = f"{report.max_rejected_share:.2%} of a table"
    stale = [f for f in report.freshness if f.is_stale]
    return render_page(
        "validation.html",
        "en",
        title=clean(f"Validation of {source}"),
        verdict="can be used" if report.passed else "cannot be used",
        passed=report.passed,
        limit=limit,
        chart=_chart(report),
        remarks=[clean(remark.line, _REMARK) for remark in report.remarks],
        broken=[_rule(r) for r in broken],
        rules=[_rule(r) for r in report.rules],
        as_of=None if report.as_of is None else report.as_of.isoformat(),
        max_age_days=report.max_age_days,
        n_stale=len(stale),
        freshness=[
            (
                f.table,
                f.column,
                "–" if f.newest is None else f.newest.isoformat(),
                "–" if f.age_days is None else f"{f.age_days:,}",
                "stale" if f.is_stale else "fresh",
            )
            for f in report.freshness
        ],
    )


def _rule(result: RuleResult) -> dict[str, str]:
    return {
        "table": clean(result.table),
        "rule": clean(result.rule),
        "meaning": clean(result.meaning, _MEANING),
        "checked": f"{result.rows_checked:,}",
        "rejected": f"{result.rows_rejected:,}",
        "keys": ", ".join(clean(key, _KEY) for key in result.first_keys),
    }


def _chart(report: ValidationReport) -> Markup:
    """A bar for each table: accepted rows, and the rejected ones at its end."""
    parts: list[Markup] = []
    for i, table in enumerate(report.tables):
        top = i * _ROW + 4
        # A single rejected row of millions is still to be seen.
        width = max(_BAR * table.rejected_share, 3.0) if table.rejected else 0.0
        parts += [
            svg.text(_LEFT - 8, top + 13, clean(table.table), "strong", "end"),
            svg.rect(_LEFT, top, _BAR - width, 16, "bar"),
            svg.rect(_LEFT + _BAR - width, top, width, 16, "adverse"),
            svg.text(
                _LEFT + _BAR + 10,
                top + 13,
                f"{table.rows:,} rows, {table.rejected:,} rejected ({table.rejected_share:.3%})",
            ),
        ]
    return svg.picture(
        _WIDTH, len(report.tables) * _ROW + 4, "Accepted and rejected rows of each table", parts
    )
