"""What a loop leaves behind, written as records: roll-outs, an A/B test, retrainings, actions, a standing approval, a simulation."""

from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.records.abtests import ABArm, ABLook, ABTest, ABTestSpec, ArmResult
from slipway.records.endpoints import Served
from slipway.records.loop import Action, Retraining, StandingApproval
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.rollouts import CanarySpec, Look, Rollout, RolloutSpec, ShadowSpec
from slipway.records.simulations import Fault, Figures, Month, Promotion, Simulation, Worth

PARENT = "flights/flight-delays"
SIMULATION, OLDER_SIMULATION, ROLLOUT = "s2", "s1", "ro3"
NASTY = '<script>alert("x")</script>'
SINCE, UNTIL = datetime(2013, 4, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
OWNER = Actor("Grace Okafor", "simulated", ("business owner",))
SPEC = RolloutSpec(shadow=ShadowSpec(), canary=CanarySpec())

# log loss, calibration, AUC, cost: never, blind, slipway; of the real flights of 2013.
FIGURES: tuple[tuple[str, int, float, tuple[tuple[float, ...], ...]], ...] = (
    ("2013-04", 27578, 0.288, ((0.5349, -0.0614, 0.7292, 253590), (0.5349, -0.0614, 0.7292, 253590), (0.5349, -0.0614, 0.7292, 253590))),
    ("2013-05", 28124, 0.227, ((0.4532, -0.0029, 0.7559, 210340), (0.4501, 0.0230, 0.7636, 209750), (0.4512, 0.0101, 0.7611, 209120))),
    ("2013-06", 27069, 0.314, ((0.5373, -0.0476, 0.7458, 245760), (0.5147, 0.0173, 0.7716, 233590), (0.5204, -0.0098, 0.7641, 234710))),
    ("2013-07", 28291, 0.323, ((0.5577, -0.0585, 0.7324, 264960), (0.5424, -0.0054, 0.7455, 250420), (0.5442, 0.0397, 0.7488, 249740))),
    ("2013-08", 28774, 0.246, ((0.4866, -0.0039, 0.7314, 238230), (0.4739, 0.0192, 0.7530, 227510), (0.4732, 0.0131, 0.7527, 228040))),
    ("2013-09", 27005, 0.137, ((0.3675, 0.0432, 0.7102, 163520), (0.3475, 0.0374, 0.7438, 151750), (0.3453, 0.0338, 0.7481, 149540))),
    ("2013-10", 28617, 0.175, ((0.4256, 0.0215, 0.6901, 205990), (0.4170, 0.0111, 0.7139, 197540), (0.4183, 0.0139, 0.7096, 198650))),
    ("2013-11", 26921, 0.181, ((0.4303, 0.0108, 0.6978, 193150), (0.4208, 0.0152, 0.7213, 187100), (0.4216, 0.0174, 0.7203, 187680))),
    ("2013-12", 27055, 0.335, ((0.5608, -0.0479, 0.7329, 256390), (0.5486, -0.0192, 0.7412, 251930), (0.5508, -0.0192, 0.7395, 251480))),
    ("all", 249434, 0.247, ((0.4838, -0.0162, 0.7391, 2031930), (0.4723, 0.0042, 0.7568, 1963180), (0.4729, 0.0050, 0.7559, 1962550))),
)  # fmt: skip


def loop_records(digest: str) -> list[Record]:
    """One of everything, and more where there is an order; the endpoint's bundle has the given digest."""
    return [
        *_rollouts(digest),
        _abtest(digest),
        *_retrainings(),
        *_actions(),
        *_standing(),
        _incident(),
        *_simulations(),
    ]


def _abtest(digest: str) -> ABTest:
    """Decided long ago; its reason is what a person typed."""
    looks = [
        ABLook(
            at=on(8, day),
            verdict="undecided" if day < 12 else "decided",
            sentence="Promote 2: 0.5 EUR more a row (+0.2 to +0.8)." if day == 12 else "Go on: more are needed.",
            arms=(
                ArmResult(name="champion", assigned=1000 * day, measured=900 * day, mean=10.0),
                ArmResult(
                    name="2", assigned=1000 * day, measured=900 * day, mean=10.5, effect=0.5, low=0.8 - 7 / day, high=7 / day,
                    verdict="better" if day == 12 else "undecided", month=15_000.0, month_low=6_000.0, month_high=24_000.0,
                ),
            ),
            unknown=(f"What {NASTY} does.",),
        )
        for day in (8, 10, 12)
    ]  # fmt: skip
    return ABTest(
        **_common("ab1", "flight-delays", on(8, 1)),
        parent_id=PARENT,
        state="kept",
        control=_served(1, digest),
        arms=(ABArm(name="2", served=_served(2, "2" * 64), fraction=0.5),),
        spec=ABTestSpec(minimal_effect=0.2, unit="EUR"),
        salt="ab1",
        ended_at=on(8, 13),
        reason=f"Grace: {NASTY}",
        looks=tuple(looks),
    )


def on(month: int, day: int, hour: int = 3) -> datetime:
    return datetime(2013, month, day, hour, tzinfo=UTC)


def _common(id: str, name: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": at, **more}


def _served(number: int, digest: str) -> Served:
    return Served(model="flight-delays", number=number, bundle=digest)


def _looks(start: datetime, count: int, phase: Any, verdict: Any, end: float) -> tuple[Look, ...]:
    found = []
    for day in range(count):
        value = end + 0.002 / (day + 1)
        half = 0.03 / (day + 2)
        last = day == count - 1
        found.append(
            Look(
                at=start + timedelta(days=day + 2),
                phase=phase,
                verdict=verdict if last else "undecided",
                sentence=f"Over {day + 2} days the challenger's log loss is higher by {value:.4f} ({value - half:.4f} to "
                f"{value + half:.4f}); {'that decides it' if last else 'that decides nothing yet'}.",
                values={
                    "difference": value,
                    "low": value - half,
                    "high": value + half,
                    "margin": 0.01,
                    "days": day + 2,
                },
            )
        )
    return tuple(found)


def _rollouts(digest: str) -> list[Rollout]:
    one, two, three = on(5, 1), on(6, 15), on(12, 15)
    return [
        Rollout(
            **_common("ro1", "flight-delays", one, parent_id=PARENT), state="promoted", champion=_served(1, digest),
            challenger=_served(2, digest), spec=SPEC, step=2, since=on(5, 9), ended_at=on(5, 10), verdict_id="v1",
            retraining_id="rt1", looks=_looks(one, 6, "shadow", "not worse", -0.004),
            reason="not worse in shadow over 6 days, and its failures stayed within the margin at every step",
        ),
        Rollout(
            **_common("ro2", "flight-delays", two, parent_id=PARENT), state="stopped", champion=_served(2, digest),
            challenger=_served(3, digest), spec=SPEC, since=two, ended_at=on(6, 21), retraining_id="rt2",
            looks=_looks(two, 5, "shadow", "worse", 0.021), reason="worse in shadow: log loss higher by 0.0214",
        ),
        Rollout(
            **_common(ROLLOUT, "flight-delays", three, parent_id=PARENT), state="canary", champion=_served(2, digest),
            challenger=_served(4, digest), spec=SPEC, step=1, since=on(12, 22), retraining_id="rt3",
            looks=(
                *_looks(three, 4, "shadow", "not worse", -0.001),
                Look(
                    at=on(12, 22), phase="canary", step=0, verdict="not worse",
                    sentence=f"Of 1,480 rows that it answered none failed {NASTY}.", values={},
                ),
            ),
        ),
    ]  # fmt: skip


def _retrainings() -> list[Retraining]:
    made = [
        ("rt1", on(5, 1), "made", "schedule 0 3 1,15 * *", 2, 1, "Version 2 passed its gate and goes into shadow."),
        ("rt2", on(6, 15), "made", "degraded: quality of log_loss", 3, 2, "Its first process was killed; the second made version 3."),
        ("rt4", on(7, 15), "refused", "schedule 0 3 1,15 * *", 0, 1, f"The gate refused it: auc 0.69 is below 0.70 {NASTY}."),
        ("rt3", on(12, 15), "made", "schedule 0 3 1,15 * *", 4, 1, "Version 4 passed its gate and goes into shadow."),
    ]  # fmt: skip
    return [
        Retraining(
            **_common(id, "flight-delays", at, parent_id=PARENT), state=state, trigger=trigger,  # type: ignore[arg-type]
            snapshot="5" * 64, until=at.replace(hour=0), standing_id="sa1", attempts=attempts,
            version=version, sentence=told,
        )
        for id, at, state, trigger, version, attempts, told in made
    ]  # fmt: skip


def _actions() -> list[Action]:
    told: list[tuple[datetime, Any, str, str, dict[str, Any], tuple[str, ...]]] = [
        (on(5, 1), "retrain", "The schedule 0 3 1,15 * * is due: training with data until 1 May.", "", {"days since the last": 30}, ("retraining:rt1",)),
        (on(5, 1), "shadow", "Version 2 passed its gate: it scores every row unseen beside version 1.", "", {}, ("rollout:ro1",)),
        (on(5, 8), "canary", "Version 2 is not worse (-0.0036, -0.0083 to 0.0011; the margin is 0.01): it answers 10 % of the rows.", "", {"difference": -0.0036, "low": -0.0083, "high": 0.0011}, ("rollout:ro1",)),
        (on(5, 10), "promote", "Version 2 answers all rows: no failure at any step.", "", {}, ("rollout:ro1",)),
        (on(6, 3), "alert", "The weather feed is broken: 98 % of temp lie beyond anything ever seen; look at its units.", "data engineer", {"share beyond": 0.98, "column": "weather_now_temp"}, ("incident:i2",)),
        (on(6, 3), "hold", "No retraining while a feed is broken.", "", {}, ("incident:i2",)),
        (on(6, 5), "close", "The weather feed is as it was for 24 hours.", "data engineer", {}, ("incident:i2",)),
        (on(6, 15), "retrain", "The quality of log_loss is degraded since 9 June: 0.58 against 0.52.", "", {"log_loss": 0.58}, ("retraining:rt2",)),
        (on(6, 21), "stop", "Version 3 is worse in shadow by 0.0214: version 2 goes on.", "data scientist", {"difference": 0.0214}, ("rollout:ro2",)),
        (on(7, 2), "ignore", f"distance moved a little {NASTY}; neither quality nor cost did.", "", {}, ()),
        (on(7, 15), "refuse", "The gate refused the new model: auc 0.69 is below 0.70.", "data scientist", {"auc": 0.69}, ("retraining:rt4",)),
        (on(8, 1), "note", "Labels are late: 62 % of yesterday's have come.", "", {"share": 0.62}, ()),
        (on(12, 15), "retrain", "The schedule 0 3 1,15 * * is due: training with data until 15 December.", "", {}, ("retraining:rt3",)),
        (on(12, 22), "canary", "Version 4 is not worse (-0.0006, -0.0066 to 0.0054; the margin is 0.01): it answers 10 % of the rows.", "", {}, ("rollout:ro3",)),
    ]  # fmt: skip
    return [
        Action(
            **_common(f"ac{number:03}", kind, at, parent_id=PARENT), number=number, sentence=sentence, owner=owner,
            evidence=evidence, subjects=subjects,
        )
        for number, (at, kind, sentence, owner, evidence, subjects) in enumerate(told, 1)
    ]  # fmt: skip


def _standing() -> list[StandingApproval]:
    common = {"policy": "7" * 64, "role": "accountable", "actor": OWNER}
    return [
        StandingApproval(
            **_common("sa1", "flight-delays", SINCE), until=on(12, 31), comment="Good for the pilot year.", **common  # type: ignore[arg-type]
        ),
        StandingApproval(
            **_common("sa0", "flight-delays", on(3, 1)), until=on(4, 1), revoked_at=on(3, 20), **common  # type: ignore[arg-type]
        ),
    ]  # fmt: skip


def _incident() -> Incident:
    return Incident(
        **_common("i2", "weather feed", on(6, 3)), parent_id=PARENT, cause="broken feed", state="closed",
        sentence="The weather feed is broken: 98 % of temp lie beyond anything ever seen; look at its units.",
        owner="data engineer", closed_at=on(6, 5),
    )  # fmt: skip


def _month(name: str, rows: int, rate: float, figures: tuple[tuple[float, ...], ...]) -> Month:
    named = {
        policy: Figures(log_loss=loss, calibration=away, auc=auc, cost=float(cost))
        for policy, (loss, away, auc, cost) in zip(("never", "blind", "slipway"), figures, strict=True)
    }
    versions = (1, 2) if name in ("2013-05", "all") else (1,) if name == "2013-04" else (2,)
    return Month(name=name, asked=rows + 700, labelled=rows, rate=rate, figures=named, versions=versions)


def _simulations() -> list[Simulation]:
    *months, total = (_month(*row) for row in FIGURES)
    finished = Simulation(
        **_common(SIMULATION, "flight-delays", SINCE, parent_id=PARENT), state="finished", since=SINCE, until=UNTIL,
        ended_at=UNTIL + timedelta(days=2), seed=2013, requests=6601, events=277_119, labels=249_434,
        months=tuple(months), total=total, unit="USD",
        worth=(
            Worth(other="never", log_loss=-0.0109, log_loss_low=-0.0149, log_loss_high=-0.0070, cost=-69_380.0, cost_low=-88_100.0, cost_high=-50_660.0),
            Worth(other="blind", log_loss=0.0006, log_loss_low=-0.0014, log_loss_high=0.0026, cost=-630.0, cost_low=-10_900.0, cost_high=9_640.0),
        ),
        promotions=(
            Promotion(version=2, replaced=1, at=on(5, 10), until=on(8, 1), rows=82_000, log_loss=-0.0122, low=-0.0171, high=-0.0073, verdict="better"),
            Promotion(version=3, replaced=2, at=on(8, 1), until=on(10, 4), rows=56_400, log_loss=0.0049, low=0.0011, high=0.0087, verdict="worse"),
            Promotion(version=4, replaced=3, at=on(10, 4), until=UNTIL, rows=83_000, log_loss=-0.0012, low=-0.0049, high=0.0025, verdict="cannot tell"),
        ),
        faults=(
            Fault(name="the weather feed switches units", at=on(6, 3), ended_at=on(6, 5), was_handled=True, sentence="Told as a broken feed within 3 hours; nothing was retrained."),
            Fault(name="a training process is killed", at=on(6, 15), was_handled=True, sentence="Started again; version 3 came of it."),
            Fault(name="labels stop", at=on(9, 2), ended_at=on(9, 9), was_handled=False, sentence=f"Nobody was told {NASTY}."),
        ),
        assumption="Assumed, not measured: a false negative costs 50 USD, a false positive costs 10 USD, a true positive costs 10 USD, a true negative costs 0 USD; a score from 0.2 on counts as a yes. With other costs the sums would be others.",
        sentence="Retraining with gates, shadow and canary was worth 69,380 USD over nine months against never retraining (3.4 % of the cost of errors, 95 % interval 50,660 to 88,100 USD). It cannot be told from a blind monthly retraining by its cost: it cost 630 USD less (95 % interval: 10,900 less to 9,640 more), so at worst it was dearer by 9,640 USD or 0.5 % of the cost of errors.",
        proofs=(
            "All 256,037 logged scores equal what the bundle of whichever of 4 versions answered says of the logged inputs, bit for bit.",
            "The logged inputs of all 254,112 answered rows, 36 each, equal the offline join of the same rows, bit for bit; 1,925 rows decided while an injected fault bent the feed are counted apart: 1,925 of them differ.",
        ),
        measured={"answer p50 (ms)": 1.42, "answer p99 (ms)": 4.87, "whole simulation (s)": 1130.0, "by phase": {"shadow (s)": 310.5, "canary (s)": 205.0}},
        fingerprint="4f" * 32,
    )  # fmt: skip
    failed = Simulation(
        **_common(OLDER_SIMULATION, "flight-delays", SINCE - timedelta(days=1), parent_id=PARENT), state="failed",
        since=SINCE, until=UNTIL, seed=1, sentence="The endpoint stopped answering.",
    )  # fmt: skip
    return [finished, failed]
