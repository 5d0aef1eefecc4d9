//! Product versions. The port tables change by minor version only, so that is what rules compare.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// `MAJOR.MINOR`, compared numerically: 1.9 < 1.16 < 1.28.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor {
    /// The first field.
    pub major: u16,
    /// The second field.
    pub minor: u16,
}

/// A version as its product writes it: `1.29.1100-gke.84`, `1.34`, `v1.31.4+k3s1`, `4.17`.
///
/// ```text
/// version = [ "v" ] number "." number [ "." number ] [ "-" build ] [ "+" build ]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Version {
    text: String,
    #[serde(skip)]
    minor: Minor,
}

/// Text that does not start with `MAJOR.MINOR`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "read version {0:?}: expected MAJOR.MINOR[.PATCH], for example 1.29.1100-gke.84, 1.34 or v1.31.4+k3s1"
)]
pub struct InvalidVersion(pub String);

impl Version {
    /// The minor version, which selects the port tables.
    pub fn minor(&self) -> Minor {
        self.minor
    }

    /// Whether it is written as `bmctl` writes versions: without a `v` before it and without build metadata.
    pub fn is_of_bmctl(&self) -> bool {
        !self.text.starts_with('v') && !self.text.contains('+')
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVersion(text.to_owned());
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (bare, metadata) = at_most_one(bare, '+');
        let (core, build) = at_most_one(bare, '-');
        let fields: Vec<&str> = core.split('.').collect();
        let has_bad_suffix = [build, metadata]
            .into_iter()
            .flatten()
            .any(|text| !is_build(text));
        if !(2..=3).contains(&fields.len()) || has_bad_suffix {
            return Err(invalid());
        }
        let number = |field: &str| -> Option<u16> {
            // Four digits are the most that was ever shipped (patch 1100).
            (!field.is_empty() && field.len() <= 4 && field.bytes().all(|b| b.is_ascii_digit()))
                .then(|| field.parse().ok())
                .flatten()
        };
        let numbers: Vec<u16> = fields
            .iter()
            .copied()
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(invalid)?;
        let minor = Minor {
            major: numbers[0],
            minor: numbers[1],
        };
        Ok(Self {
            text: text.to_owned(),
            minor,
        })
    }
}

/// What stands before and after the first such character.
fn at_most_one(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_build(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl FromStr for Minor {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version: Version = text.parse()?;
        if version.as_str() == version.minor().to_string() {
            Ok(version.minor())
        } else {
            Err(InvalidVersion(text.to_owned()))
        }
    }
}

impl Serialize for Minor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_written_form_yield_their_minor() {
        for (text, minor) in [
            ("1.29.1100-gke.84", "1.29"),
            ("1.29.400", "1.29"),
            ("1.34", "1.34"),
            ("1.9.1", "1.9"),
            ("v1.31.4+k3s1", "1.31"),
            ("v1.30.2-rc1+rke2r1", "1.30"),
            ("4.17", "4.17"),
            ("v1.9", "1.9"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().minor().to_string(), minor);
        }
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in [
            "",
            "1",
            "1.",
            "1.x",
            "v",
            "vv1.29",
            "V1.29",
            "1.29+",
            "1.29+a+b",
            "1.29.1.2",
            "1.29-",
            "1.29 ",
            "1.29.99999",
            "1.-29",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn minors_compare_as_numbers() {
        let minor = |text: &str| text.parse::<Minor>().unwrap();
        assert!(minor("1.9") < minor("1.16") && minor("1.16") < minor("1.28"));
    }
}
