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

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::rfc3339;

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
}
