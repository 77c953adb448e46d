"""The simulated neighbourhood: plausible, repeatable, and acceptable to the platform."""

from dataclasses import replace

import pytest

from contracts.wire.packs import Interval
from contracts.wire.receipts import EventCall
from device_sim.household import Home, live, neighbourhood
from tests.device_sim.acceptance import is_balanced, is_never_negative, is_within_nameplate

SUMMER_DAY_S = 1_750_132_800  # 2025-06-17 00:00 in Toronto
DAY = 288  # intervals of five minutes
EVENING_S = SUMMER_DAY_S + 19 * 3600


def a_day(homes: list[Home], seed: int = 1) -> dict[str, list[Interval]]:
    lives = live(homes, start_s=SUMMER_DAY_S, interval_s=300, count=DAY, seed=seed)
    return {name: list(intervals) for name, intervals in lives.items()}


@pytest.fixture(scope="module")
def homes() -> list[Home]:
    return neighbourhood(6, seed=1)


@pytest.fixture(scope="module")
def days(homes: list[Home]) -> dict[str, list[Interval]]:
    return a_day(homes)


def test_every_interval_of_the_neighbourhood_would_be_accepted(
    homes: list[Home], days: dict[str, list[Interval]]
) -> None:
    for home in homes:
        starts_s = [interval.start_s for interval in days[home.name]]
        assert starts_s == list(range(SUMMER_DAY_S, SUMMER_DAY_S + 86_400, 300))
        for interval in days[home.name]:
            assert interval.duration_s == 300
            assert is_balanced(interval)
            assert is_never_negative(interval)
            assert is_within_nameplate(
                interval, pv_nameplate_w=home.pv_nameplate_w, battery_power_w=home.battery_power_w
            )


def test_the_owners_reserve_is_kept_all_day(homes: list[Home], days: dict[str, list[Interval]]) -> None:
    for home in homes:
        charges_pct = [interval.soc_pct for interval in days[home.name] if interval.soc_pct is not None]
        assert len(charges_pct) == DAY
        assert min(charges_pct) >= home.battery.reserve_pct
        assert max(charges_pct) <= 100


def test_the_sun_shines_by_day_and_not_by_night(homes: list[Home], days: dict[str, list[Interval]]) -> None:
    for home in homes:
        hours_wh = [sum(i.pv_wh for i in days[home.name][hour * 12 : hour * 12 + 12]) for hour in range(24)]
        per_kw_wh = sum(hours_wh) * 1_000 // home.pv_nameplate_w
        assert sum(hours_wh[:5]) == sum(hours_wh[22:]) == 0
        assert 2_500 < per_kw_wh < 8_500  # a roof near Toronto between a dull and a perfect June day


def test_homes_use_what_homes_use(days: dict[str, list[Interval]]) -> None:
    for intervals in days.values():
        assert 6_000 < sum(interval.load_wh for interval in intervals) < 70_000
        assert min(interval.load_wh for interval in intervals) > 0


def test_the_same_seed_gives_the_same_day_and_another_seed_another(
    homes: list[Home], days: dict[str, list[Interval]]
) -> None:
    assert a_day(homes) == days
    assert a_day(homes, seed=2) != days


def test_a_home_lives_the_same_whoever_its_neighbours_are(homes: list[Home], days: dict[str, list[Interval]]) -> None:
    assert a_day(homes[2:3]) == {homes[2].name: days[homes[2].name]}


def test_a_neighbourhood_that_grows_keeps_its_homes(homes: list[Home]) -> None:
    assert neighbourhood(3, seed=1) == homes[:3]
    assert len({home.name for home in homes}) == len(homes)


def test_clouds_dim_one_neighbour_after_the_other() -> None:
    here = neighbourhood(1, seed=1)[0]
    east = replace(here, name="east", roof=replace(here.roof, longitude=here.roof.longitude + 0.2))

    first, second = a_day([here, east]).values()

    assert [interval.pv_wh for interval in first] != [interval.pv_wh for interval in second]


def test_an_event_heard_of_while_the_home_lives_is_obeyed(homes: list[Home], days: dict[str, list[Interval]]) -> None:
    home = homes[0]
    heard: list[EventCall] = []
    lives = live([home], start_s=SUMMER_DAY_S, interval_s=300, count=DAY, seed=1, calls=lambda *_: heard)[home.name]

    before = [next(lives) for _ in range(DAY // 2)]
    heard.append(
        EventCall(
            device_id=home.name,
            id="heat-wave",
            issued_s=EVENING_S - 600,
            expires_s=EVENING_S,
            start_s=EVENING_S,
            end_s=EVENING_S + 1800,
            discharge_w=2_400,
            reserve_pct=0,
        )
    )
    after = list(lives)

    during = [interval for interval in after if EVENING_S <= interval.start_s < EVENING_S + 1800]
    assert before == days[home.name][: DAY // 2]
    assert len(during) == 6
    assert all(interval.discharge_wh >= 199 and interval.charge_wh == 0 for interval in during)
    assert all((interval.soc_pct or 0) >= home.battery.reserve_pct for interval in after)


@pytest.mark.parametrize(("start_s", "interval_s"), [(SUMMER_DAY_S, 7 * 60), (SUMMER_DAY_S + 60, 300), (0, 30)])
def test_intervals_that_would_cross_an_hour_are_not_made(homes: list[Home], start_s: int, interval_s: int) -> None:
    with pytest.raises(ValueError, match="fit whole into an hour"):
        live(homes, start_s=start_s, interval_s=interval_s, count=1, seed=1)
