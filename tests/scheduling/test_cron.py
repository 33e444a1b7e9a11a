"""The grammar of cron expressions: what is taken, and what is refused with which reason."""

from __future__ import annotations

import pytest

from scheduling.cron import NICKNAMES, CronFault, parse


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("5 4 3 2 1", [{5}, {4}, {3}, {2}, {1}]),
        (
            "*/20 */6 */10 */4 */3",
            [{0, 20, 40}, {0, 6, 12, 18}, {1, 11, 21, 31}, {1, 5, 9}, {0, 3, 6}],
        ),
        (
            "10-12 1,3-5 1-9/4 jan-mar MON-FRI",
            [{10, 11, 12}, {1, 3, 4, 5}, {1, 5, 9}, {1, 2, 3}, {1, 2, 3, 4, 5}],
        ),
        ("0 0 1 Jun,dec sun", [{0}, {0}, {1}, {6, 12}, {0}]),
        ("0 0 1 1 7", [{0}, {0}, {1}, {1}, {0}]),
        ("0 0 1 1 5-7", [{0}, {0}, {1}, {1}, {0, 5, 6}]),
        ("05 004 1 1 fri-7", [{5}, {4}, {1}, {1}, {0, 5, 6}]),
        ("  5   4\t3 2  1 ", [{5}, {4}, {3}, {2}, {1}]),
        ("59,0,59 23 31 12 6", [{0, 59}, {23}, {31}, {12}, {6}]),
    ],
)
def test_the_fields_hold_what_they_name(expression: str, values: list[set[int]]) -> None:
    parsed = parse(expression)

    fields = (parsed.minute, parsed.hour, parsed.day, parsed.month, parsed.weekday)
    assert [set(field.values) for field in fields] == values


@pytest.mark.parametrize(("nickname", "meaning"), NICKNAMES.items())
def test_nicknames_stand_for_expressions(nickname: str, meaning: str) -> None:
    assert parse(nickname) == parse(nickname.upper()) == parse(meaning)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "Give five fields"),
        ("   ", "Give five fields"),
        ("* * * *", "4 fields were given; five are needed"),
        ("*", "1 field was given; five are needed"),
        ("0 * * * * *", "6 fields were given; five are needed"),
        ("0 0 * * * * 2030", "7 fields were given; five are needed"),
        ("R * * * *", "hashed and random values"),
        ("R(0-10) * * * *", "hashed and random values"),
        ("H * * * *", "hashed and random values"),
        ("H(1-5)/2 * * * *", "hashed and random values"),
        ("~ * * * *", "hashed and random values"),
        ("0~30 * * * *", "hashed and random values"),
        ("0 0 ? * *", "“?” is not cron's; write *"),
        ("0 0 L * *", "“L” (the last)"),
        ("0 0 * * L5", "“L” (the last)"),
        ("0 0 * * 5L", "“L” (the last)"),
        ("0 0 * * FRIL", "“L” (the last)"),
        ("0 0 15W * *", "“W” (the nearest working day)"),
        ("0 0 LW * *", "“L” (the last)"),
        ("0 0 * * 5#2", "“#” (the n-th weekday of a month)"),
        ("0 0 * * FRI#1", "“#” (the n-th weekday of a month)"),
        ("5-5 * * * *", "the range 5-5 has one value; write 5"),
        ("0 0 * * MON-MON", "the range MON-MON has one value; write MON"),
        ("50-10 * * * *", "the range 50-10 runs backwards; write 50-59,0-10"),
        ("0 22-2 * * *", "the range 22-2 runs backwards; write 22-23,0-2"),
        ("0 0 * * FRI-MON", "the range FRI-MON runs backwards; write FRI-SAT,SUN-MON"),
        ("0 0 * * SAT-SUN", "the range SAT-SUN runs backwards; write SAT,SUN"),
        ("0 0 1 NOV-FEB *", "the range NOV-FEB runs backwards; write NOV-DEC,JAN-FEB"),
        ("5/15 * * * *", "5/15 has a step without a range; write 5-59/15 or */15"),
        ("*/60 * * * *", "the step 60 goes past the range 0-59"),
        ("0 */24 * * *", "the step 24 goes past the range 0-23"),
        ("0 0 */31 * *", "the step 31 goes past the range 1-31"),
        ("0 0 1 */12 *", "the step 12 goes past the range 1-12"),
        ("0 0 * * */7", "the step 7 goes past the range 0-6"),
        ("10-20/11 * * * *", "the step 11 goes past the range 10-20"),
        ("*/99999 * * * *", "the step must be a whole number"),
        ("*/0 * * * *", "the step is 0"),
        ("*/x * * * *", "the step must be a whole number"),
        ("*/ * * * *", "the step must be a whole number"),
        ("*/5/2 * * * *", "the step must be a whole number"),
        ("60 * * * *", "60 is outside 0-59"),
        ("0 24 * * *", "24 is outside 0-23"),
        ("0 0 0 * *", "0 is outside 1-31"),
        ("0 0 32 * *", "32 is outside 1-31"),
        ("0 0 1 0 *", "0 is outside 1-12"),
        ("0 0 1 13 *", "13 is outside 1-12"),
        ("0 0 * * 8", "8 is outside 0-7"),
        ("-1 * * * *", "-1 is incomplete"),
        ("1- * * * *", "1- is incomplete"),
        ("1,,2 * * * *", "a value is missing"),
        (",1 * * * *", "a value is missing"),
        ("+5 * * * *", "+5 is not a number"),
        ("1.5 * * * *", "1.5 is not a number"),
        ("** * * * *", "** is not a number"),
        ("*-5 * * * *", "* is not a number"),
        ("MON * * * *", "the name MON does not belong here"),
        ("0 0 * MON *", "the name MON does not belong here"),
        ("0 0 * * MONDAY", "MONDAY is not a number from 0 to 7 or a name from SUN to SAT"),
        ("٣ * * * *", "plain ASCII"),
        ("0 0\u00a0* * *", "plain ASCII"),
        ("@reboot", "names no time"),
        ("@every 5m", "choose the schedule kind “every”"),
        ("@fortnightly", "@fortnightly is not known"),
        ("@daily * * * *", "is not known"),
        ("0 0 30 2 *", "The date never comes: no chosen month has a day 30"),
        ("0 0 31 4,6,9,11 *", "The date never comes: no chosen month has a day 31"),
        ("0 0 31 2 */2", "The date never comes: no chosen month has a day 31"),
        ("0,1,2,3,4,5,6,7,8,9 " * 20, "longer than 256 characters"),
    ],
)
def test_everything_else_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(CronFault) as caught:
        parse(expression)

    assert any(reason in given for given in caught.value.reasons)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(CronFault) as caught:
        parse("60,61 24 0 13 8")

    assert len(caught.value.reasons) == 6


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 31 2 1", "0 0 30 2 0-6"])
def test_dates_that_come_at_some_time_are_taken(expression: str) -> None:
    assert parse(expression).minute.values == (0,)


@pytest.mark.parametrize(
    ("expression", "wildcard"),
    [
        ("* 9 * * *", True),
        ("*/5 9 * * *", True),
        ("0 * * * *", True),
        ("0 */2 * * *", True),
        ("*,5 9 * * *", True),
        ("0-59 0-23 * * *", False),
        ("5,*/30 9 * * *", False),
        ("30 2 * * *", False),
    ],
)
def test_a_wildcard_job_is_one_whose_minute_or_hour_begins_with_a_star(
    expression: str, wildcard: bool
) -> None:
    assert parse(expression).wildcard is wildcard
