//! Points in time as people and schemas read them.

/// RFC 3339 in UTC with milliseconds, from milliseconds since 1970-01-01T00:00:00Z (leap seconds not counted, as POSIX
/// has it).
///
/// Days become a date by the algorithm `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms" (2013): years run from March, so that the leap day is the last one, in eras of 400 years = 146,097 days.
pub(super) fn rfc3339(unix_ms: u64) -> String {
    let (days, of_day_ms) = (unix_ms / DAY_MS, unix_ms % DAY_MS);
    let shifted = days + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (seconds, ms) = (of_day_ms / 1_000, of_day_ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The day of a date `YYYY-MM-DD`, counted from 1970-01-01; `None` if the calendar has no such day, or it was before. The
/// inverse of [`rfc3339`], by `days_from_civil` of the same source.
pub(crate) fn day_of(date: &str) -> Option<u64> {
    let digits = |from: usize, to: usize| -> Option<u64> {
        let part = date.get(from..to)?;
        let all = part.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| part.parse().ok())?
    };
    let separated = date.len() == 10 && date.get(4..5) == Some("-") && date.get(7..8) == Some("-");
    if !separated {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    if !(1_970..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let number = days.checked_sub(DAYS_FROM_MARCH_OF_YEAR_0)?;
    // A 30th of February counts on into March: only what comes back is a day of the calendar.
    rfc3339(number * DAY_MS).starts_with(date).then_some(number)
}

/// The day of a point in time, counted from 1970-01-01.
pub(super) fn day_at(unix_ms: u64) -> u64 {
    unix_ms / DAY_MS
}

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::{DAY_MS, day_of, rfc3339};

    #[test]
    fn dates_around_leap_days_and_centuries_agree_with_the_calendar() {
        // From `date -u -d @N +%FT%T`.
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }
    #[test]
    fn a_date_is_the_day_whose_date_it_is_and_no_other() {
        for day in (0..60_000).step_by(7) {
            assert_eq!(day_of(&rfc3339(day * DAY_MS)[..10]), Some(day));
        }
        for no_day in [
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-10",
            "2026-1-1",
            "26-01-01",
            "2026/01/01",
            "1969-12-31",
            "2026-01-00",
            "+026-01-01",
            "2026-01-011",
            "",
            "tomorrow",
        ] {
            assert_eq!(day_of(no_day), None, "{no_day}");
        }
    }
}
