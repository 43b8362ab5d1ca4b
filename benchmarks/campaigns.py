"""Campaigns of ten thousand features: how long their list takes, and what comes next for a person.

A made-up database on SQLite, two campaigns, one of them blind, in which two people of three have said what they think
of most features. What is timed is what the routes do, from the database to the JSON that they send.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, insert

from benchmarks.harness import Metric, Result
from mfn_server.access.roles import Person, Role
from mfn_server.campaigns import leases
from mfn_server.campaigns.events import Item, Open
from mfn_server.campaigns.log import append_entry
from mfn_server.campaigns.queue import ranked, standings
from mfn_server.campaigns.reading import campaign_list
from mfn_server.db.campaign_tables import LabelOpinion
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelSummary, Model, Source
from mfn_server.labels.log import lock_log

FEATURES, QUICK_FEATURES = 10_000, 500
RUNS, QUICK_RUNS = 21, 3
LIST_TARGET = 100.0
MODEL = 1
PEOPLE = [Person(str(uuid.UUID(int=i)), f"person {i}", Role.REVIEWER, is_local=False) for i in range(1, 4)]


def run(quick: bool) -> Result:
    """Both lists, for somebody who has given all their opinions and for somebody who has given none."""
    n, runs = (QUICK_FEATURES, QUICK_RUNS) if quick else (FEATURES, RUNS)
    target = None if quick else LIST_TARGET
    metrics: dict[str, Metric] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_database(f"sqlite:///{folder}/studio.sqlite3")) as database,
    ):
        with database.write() as connection:
            _add_features(connection, n)
        for name, blind in (("open", False), ("blind", True)):
            with database.write() as connection:
                campaign = _add_campaign(connection, n, blind)
            for who, person in (("done", PEOPLE[0]), ("new", PEOPLE[2])):
                times = _timed(database, runs, partial(_listed, person))
                metrics[f"list_{name}_{who}"] = Metric(statistics.median(times), "ms", target, spread=_quartiles(times))
            times = _timed(database, runs, partial(_next, campaign, PEOPLE[2]))
            metrics[f"next_{name}"] = Metric(statistics.median(times), "ms", spread=_quartiles(times))
    return Result(metrics, {"features of each campaign": n, "campaigns": "1, then 2", "runs": runs})


def _add_features(connection: Connection, n: int) -> None:
    row = {"id": MODEL, "fingerprint": "f", "name": "m", "created_at": datetime.now(UTC)}
    connection.execute(insert(Model).values(row))
    source = {"id": 1, "model_id": MODEL, "key": "a", "kind": "mfn", "site": "resid_mid", "layer": 0}
    connection.execute(insert(Source).values(source | {"weights_hash": "", "n_features": n}))
    counts = dict.fromkeys(("n_labels", "n_people", "n_comments", "n_skips"), 1)
    connection.execute(insert(LabelSummary), [{"source_id": 1, "number": i, "version": 1, **counts} for i in range(n)])


def _add_campaign(connection: Connection, n: int, blind: bool) -> uuid.UUID:
    """Two opinions of each are asked for. The first person has given all theirs, the second two thirds."""
    campaign = uuid.uuid4()
    items = [Item(source="a", index=i, importance=i / n) for i in range(n)]
    lock_log(connection)
    append_entry(connection, MODEL, campaign, PEOPLE[0], campaign, Open(name="x", blind=blind, items=items))
    said = {"campaign_id": campaign, "source_id": 1, "text": "ships", "specificity": 2, "confidence": "high"}
    rows = [
        {**said, "number": i, "author_id": PEOPLE[k].id, "stream": 2 * i + k + 1, "flag": None, "one_concept": "yes"}
        for i in range(n)
        for k in range(2)
        if k == 0 or i % 3
    ]
    connection.execute(insert(LabelOpinion), rows)
    return campaign


def _listed(person: Person, connection: Connection) -> str:
    return campaign_list(connection, MODEL, person).model_dump_json()


def _next(campaign: uuid.UUID, person: Person, connection: Connection) -> int:
    of = leases.open_campaign(connection, MODEL, campaign, person)
    return len(ranked(connection, of, standings(connection, of), person))


def _timed(database: Database, runs: int, work: Callable[[Connection], object]) -> list[float]:
    """Milliseconds of each run, after one that is not counted."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        with database.snapshot() as connection:
            work(connection)
        times.append(1e3 * (time.perf_counter() - begun))
    return times[1:]


def _quartiles(times: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(times, n=4)
    return low, high
