"""The generated parts of docs/results.md, what the papers claim and what we measured, and of
README.md, one number and one picture of each paper.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gen_jax.errors import DataError
from gen_jax.report.page import MIN_SEEDS, mean_of, number, verdict
from gen_jax.run.experiment import paper_of
from gen_jax.study import results, rows
from gen_jax.study.gallery import gallery
from gen_jax.study.results import Played, step_of, value_of
from gen_jax.study.rows import Row, experiment_of
from gen_jax.types import Claim

STUDIES = ("headline", "gpu", "quick", "ablations")  # on the page, in this order
PAPERS = (  # in the order of the lecture
    *("autoencoder", "vae", "aae", "aae_labels", "gan", "gan_vs_vae", "dcgan", "infogan"),
    *("text2image", "puzzlegan", "cyclegan", "stargan", "progan"),
)
RESULTS, README = Path("docs/results.md"), Path("README.md")
BEGIN = "<!-- {}: written by python -m gen_jax.study page -->"
END = "<!-- end of {} -->"
OURS = "| run | measure | claim | ours | verdict |\n|---|---|---|---|---|"
TABLE = "| file | paper | measure | claim | ours | of |\n|---|---|---|---|---|---|"
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
    written = {
        RESULTS: {"results": _results(known, lines)},
        README: {
            "pictures": gallery(known, runs, folder),
            "numbers": _numbers([lines[row.name] for row in known]),
        },
    }
    return {path: _placed(path, texts) for path, texts in written.items()}


def _known() -> list[Row]:
    """Return the rows of all studies, paper by paper; of rows with one name, which differ in their
    seeds, the first.
    """
    named: dict[str, Row] = {}
    for study in STUDIES:
        for row in rows.load(study):
            named.setdefault(row.name, row)
    return sorted(named.values(), key=lambda row: PAPERS.index(row.paper))


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


def _placed(path: Path, texts: Mapping[str, str]) -> str:
    """Return a page with each text between its marks."""
    page = path.read_text("utf-8")
    for name, text in texts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise DataError(f"{path} lacks the lines {begin} and {end}: restore them.")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def _numbers(every: Sequence[Sequence[Line]]) -> str:
    """Return a table with two measures of the first row of each paper that was played."""
    first: dict[str, Sequence[Line]] = {}
    for lines in sorted(filter(None, every), key=lambda lines: not lines[0].values):
        first.setdefault(lines[0].row.paper, lines)
    return "\n".join([TABLE, *(_number(first[name]) for name in PAPERS if name in first)])


def _number(lines: Sequence[Line]) -> str:
    """Return the row of a paper: its first measure beside the claim, then its second."""
    line, row, seeds = lines[0], lines[0].row, len(lines[0].values)
    file = Path(row.module.replace(".", "/") + ".py")
    paper, value = paper_of(file), ours(line, each=False)
    if line.claim and seeds >= MIN_SEEDS:
        value += f": {line.verdict}"
    if len(lines) > 1 and lines[1].values and lines[1].group == line.group:
        value += f"<br>{row.measures[lines[1].metric]}: {ours(lines[1], each=False)}"
    of = f"{seeds} seed{'s' * (seeds > 1)}, {budget(row, line.runs)}" if seeds else ""
    title, claim = f"{paper.title} ({paper.venue})", said(_published(line)) or "none to compare"
    cells = (f"[`{file.name}`]({file})", title, row.measures[line.metric], claim, value, of)
    return f"| {' | '.join(cells)} |"


def _published(line: Line) -> Claim | None:
    """Return the claim about a measure, at whatever budget, if it is about the data of the row."""
    claim = experiment_of(line.row).CLAIMS.get(line.metric)
    config: Any = next(rows.parts([line.row])).config()
    return claim if claim and claim.data in (None, config.data) else None


def ours(line: Line, *, each: bool = True) -> str:
    """Return our mean with its interval, and with `each` the values of a few seeds; of fewer than
    three seeds only the values.
    """
    values = [*line.values]
    listed = ", ".join(number(value, ".4g") for value in values)
    if len(values) < MIN_SEEDS:
        some = f" ({len(values)} of {len(line.runs)} seeds)" * (0 < len(values) < len(line.runs))
        return f"{listed}{some}" or "not measured"
    more = each and len(values) <= SHOWN and min(values) < max(values)
    return f"{mean_of(values)} ({listed})" if more else mean_of(values)


def said(claim: Claim | None) -> str:
    """Return what a paper claims, and where."""
    if claim is None:
        return ""
    spread = "" if claim.spread is None else f" ± {claim.spread:g}"
    mark = "" if claim.status == "read" else "; unverified"
    return f"{number(claim.value, 'g')}{spread} ({claim.where}{mark})"


def budget(row: Row, runs: Sequence[Played]) -> str:
    """Return how much of the row, and of the published budget, the runs played, at the least."""
    whole = results.empty(row, next(rows.parts([row])))
    steps, images = [run.steps for run in runs], min(run.images for run in runs)
    told = _ends(steps) + (f" of {whole.steps:,} steps" if min(steps) < whole.steps else " steps")
    if whole.published_images is None:
        return told
    share = 100 * images / whole.published_images
    return f"{told}, {share:.3g} % of the published {whole.published_images:,} images"


def _ends(values: Sequence[float]) -> str:
    """Return the least and the greatest of some values, or one if they are shown alike."""
    return " to ".join(dict.fromkeys(f"{end(values):,.0f}" for end in (min, max)))


def _results(known: Sequence[Row], lines: Mapping[str, Sequence[Line]]) -> str:
    every = [line for row in known for line in lines[row.name]]
    claimed = [line for line in every if line.claim]
    counts = Counter(sorted(line.verdict for line in claimed))
    listed = ", ".join(f"{word} ({count})" for word, count in {"agrees": 0, **counts}.items())
    text = [f"{len(claimed)} comparisons with a claim: {listed}."]
    for module in dict.fromkeys(row.module for row in known):
        text += _section(module, [lines[row.name] for row in known if row.module == module])
    unverified = {f"{line.row.module}: {said(line.claim)}" for line in filter(_is_open, claimed)}
    text.append("## Claims not yet read in the paper's own text\n\n" + _items(sorted(unverified)))
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
        ends = _ends(taken)
        told.append(f"{ends} minute{'s' * (ends != '1')} a run")
    at = [step for run in runs if (step := step_of(row, run)) is not None]
    if at and (row.best or at != [run.steps for run in runs]):
        where = f", the one with the highest {row.best}" if row.best else ""
        told.append(f"measured at step {_ends(at)}{where}")
    commits = sorted({str(run.environment.get("commit")) for run in runs})
    told.append(f"commit {', '.join(commits)}")
    text = f"- `{row.name}`: {row.question} `{command}`: {'; '.join(told)}."
    return f"{text} {row.answer}".rstrip()


def _device(run: Played) -> str:
    of = run.environment
    if of.get("backend") != "cpu":
        return f"{of.get('devices')} {of.get('device')}"
    _, _, processor = str(of.get("machine")).partition(" cores, ")  # older runs do not name it
    threads = of.get("threads")
    return f"{threads} thread{'s' * (threads != 1)} of {processor or 'a CPU'}"
