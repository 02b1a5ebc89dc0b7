"""The generated parts of docs/results.md, what the papers claim and what we measured, and of
README.md, the pictures.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gen_jax.errors import DataError
from gen_jax.report.page import MIN_SEEDS, form_of, interval, number, verdict
from gen_jax.run.experiment import paper_of
from gen_jax.study import results, rows
from gen_jax.study.gallery import gallery
from gen_jax.study.results import Played, value_of
from gen_jax.study.rows import Row, experiment_of
from gen_jax.types import Claim

STUDIES = ("headline", "ablations", "quick", "gpu")  # on the page, in this order
RESULTS, README = Path("docs/results.md"), Path("README.md")
BLOCK = "<!-- {} by python -m gen_jax.study page -->"
OURS = "| run | measure | claim | ours | verdict |\n|---|---|---|---|---|"
SHOWN = 5  # seeds, at most, whose values are shown beside their mean


class Line(NamedTuple):
    """A measure of a row, for one combination of its sweep."""

    row: Row
    group: str
    metric: str
    claim: Claim | None
    runs: Sequence[Played]
    values: Sequence[float]

    @property
    def verdict(self) -> str:
        return verdict(self.claim, self.values) if self.claim else ""


def pages(folder: Path) -> Mapping[Path, str]:
    """Return the text of each page, from the results in a folder.

    Raises DataError if a page lacks the marks between which the generated part stands.
    """
    known = _known()
    runs = {row.name: results.load(row, folder) for row in known}
    lines = {row.name: [*lines_of(row, runs[row.name])] for row in known}
    return {
        RESULTS: _placed(RESULTS, _results(known, lines)),
        README: _placed(README, gallery(known, runs, folder)),
    }


def _known() -> list[Row]:
    """Return the rows of all studies; of rows with one name, which differ in their seeds, the first."""
    named: dict[str, Row] = {}
    for study in STUDIES:
        for row in rows.load(study):
            named.setdefault(row.name, row)
    return [*named.values()]


def lines_of(row: Row, runs: Sequence[Played]) -> Iterator[Line]:
    """Yield the measures of a row, with our value in each run that has the row's config."""
    claims = experiment_of(row).CLAIMS
    one_of = {part.group: part for part in rows.parts([row])}
    for group, part in one_of.items():
        own = results.of_group(runs, part)
        for metric in row.measures:
            values = [value for run in own if (value := value_of(row, run, metric)) is not None]
            claim = claims[metric] if metric in row.claims else None
            yield Line(row, group, metric, claim, own, values)


def _placed(path: Path, text: str) -> str:
    """Return a page with `text` between its marks."""
    page = path.read_text("utf-8")
    begin, end = BLOCK.format("written"), BLOCK.format("end of what is written")
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise DataError(f"{path} lacks the lines {begin} and {end}: restore them.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def ours(line: Line) -> str:
    """Return our mean with its interval and the values of few seeds; only these if below three."""
    values = [*line.values]
    each = ", ".join(number(value, ".4g") for value in values)
    if len(values) < MIN_SEEDS:
        return each or "not measured"
    mean, low, high = interval(values)
    form = form_of(mean, (high - low) / 2)
    shown = f"{number(mean, form)} ± {number((high - low) / 2, form)}"
    return f"{shown} ({each})" if len(values) <= SHOWN and low < high else shown


def said(claim: Claim | None) -> str:
    """Return what a paper claims, and where."""
    if claim is None:
        return ""
    spread = "" if claim.spread is None else f" ± {claim.spread:g}"
    mark = "" if claim.status == "read" else "; unverified"
    return f"{number(claim.value, 'g')}{spread} ({claim.where}{mark})"


def budget(row: Row, runs: Sequence[Played]) -> str:
    """Return how much of the row, and of the published budget, was played."""
    whole = results.empty(row, next(rows.parts([row])))
    steps, images = min(run.steps for run in runs), min(run.images for run in runs)
    told = f"{steps:,} of {whole.steps:,} steps" if steps < whole.steps else f"{steps:,} steps"
    if whole.published_images is None:
        return told
    share = 100 * images / whole.published_images
    return f"{told}, {share:.3g} % of the published {whole.published_images:,} images"


def _results(known: Sequence[Row], lines: Mapping[str, Sequence[Line]]) -> str:
    every = [line for row in known for line in lines[row.name]]
    claimed = [line for line in every if line.claim]
    counts = Counter(line.verdict for line in claimed)
    listed = "; ".join(f"{word}: {count}" for word, count in sorted(counts.items()))
    text = [f"Comparisons with a claim, {len(claimed)} in all. {listed}."]
    for module in dict.fromkeys(row.module for row in known):
        text += _section(module, [lines[row.name] for row in known if row.module == module])
    unverified = {f"{line.row.module}: {said(line.claim)}" for line in filter(_is_open, claimed)}
    text.append("## Claims that were not found in any text\n\n" + _items(sorted(unverified)))
    return "\n\n".join(text)


def _section(module: str, own: Sequence[Sequence[Line]]) -> Iterator[str]:
    """Yield the parts about one paper: a table, what was played, and what was not."""
    played = [lines for lines in own if any(line.runs for line in lines)]
    waiting = [lines[0].row for lines in own if lines not in played]
    shown = [line for lines in own for line in lines if line.claim or lines in played]
    yield f"## {paper_of(Path(module.replace('.', '/') + '.py')).title}"
    if shown:
        yield "\n".join([OURS, *map(_table_row, shown)])
    if played:
        yield "\n".join(_note(lines) for lines in played)
    if waiting:
        yield "Not played yet:\n" + _items([f"`{row.name}`: {row.question}" for row in waiting])


def _is_open(line: Line) -> bool:
    return line.claim is not None and line.claim.status != "read"


def _items(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items) or "None."


def _table_row(line: Line) -> str:
    label = line.row.measures[line.metric]
    verdict = line.verdict or ""
    return f"| `{line.group}` | {label} | {said(line.claim)} | {ours(line)} | {verdict} |"


def _note(lines: Sequence[Line]) -> str:
    """Return what a row asks, its command, and on what it was played."""
    row, runs = lines[0].row, [run for line in lines for run in line.runs]
    command = shlex.join(["python", *next(rows.parts([row])).command()])
    seeds = len({run.seed for run in runs})
    told = [f"{seeds} seed{'s' * (seeds > 1)}", budget(row, runs)]
    told += sorted({_device(run) for run in runs})
    if taken := [run.minutes for run in runs if run.minutes]:
        ends = dict.fromkeys(f"{end(taken):.0f}" for end in (min, max))
        told.append(f"{' to '.join(ends)} minutes a run")
    if row.best:
        told.append(f"at the step with the highest {row.best}")
    commits = sorted({str(run.environment.get("commit")) for run in runs})
    told.append(f"commit {', '.join(commits)}")
    text = f"- `{row.name}`: {row.question} `{command}`: {'; '.join(told)}."
    return f"{text} {row.answer}".rstrip()


def _device(run: Played) -> str:
    of = run.environment
    if of.get("backend") != "cpu":
        return f"{of.get('devices')} {of.get('device')}"
    _, _, processor = str(of.get("machine")).partition(" cores, ")  # older runs do not name it
    return f"{of.get('threads')} thread(s) of {processor or 'a CPU'}"
