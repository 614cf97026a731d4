//! Nanoseconds that travel as decimal strings.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of nanoseconds. As JSON a string, because JavaScript loses 64-bit integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ns(pub u64);

impl Serialize for Ns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shown = || text.chars().take(40).collect::<String>();
        let number = text.parse().map(Self);
        number.map_err(|_| Error::custom(format!("{:?} is no number of nanoseconds", shown())))
    }
}
