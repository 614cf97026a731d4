//! What may be kept: how much of which unit, of all that is seen or of all time that passes.

use std::fmt;
use std::str::FromStr;

use crate::budget::Budget as Rate;
use crate::error::Error;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Traces.
    #[default]
    Traces,
    /// Spans of kept traces.
    Spans,
    /// Raw bytes of the spans of kept traces.
    Bytes,
}

/// How much of all traces is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// What is counted.
    pub unit: Unit,
    /// A share of what is seen, or so much a second.
    pub rate: Rate,
}

/// Average length of a month in seconds, 365.2425 days over 12.
const MONTH_S: f64 = 2_629_746.0;
const DAY_S: f64 = 86_400.0;
const EXPECTED: &str =
    "a share such as 5%, or a rate such as 200/s, 20k spans/s, 5MB/s or 100GB/month";

impl Budget {
    /// A share of the traces, above 0 and at most 1.
    pub const fn share(share: f64) -> Self {
        Self { unit: Unit::Traces, rate: Rate::Share(share) }
    }

    /// Refuses what is not a finite number above 0, and shares above 1.
    pub fn validate(self) -> Result<(), Error> {
        self.rate.validate().map_err(|_| Error::Setting { name: "budget", expected: EXPECTED })
    }
}

impl Default for Budget {
    /// 1 % of the traces.
    fn default() -> Self {
        Self::share(0.01)
    }
}

impl FromStr for Budget {
    type Err = Error;

    /// Reads `5%`, `200/s` (traces), `20k spans/s`, `5MB/s` or `100GB/month`. Prefixes are decimal:
    /// `k` 10^3, `M` 10^6, `G` 10^9, `T` 10^12; with `i` (`MiB`) they are powers of 1024. Time is
    /// `s`, `min`, `h`, `day` or `month`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Setting { name: "budget", expected: EXPECTED };
        let text = text.trim();
        let budget = if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| bad())?;
            Self::share(percent / 100.0)
        } else {
            let (amount, time) = text.rsplit_once('/').ok_or_else(bad)?;
            let seconds = seconds(time.trim()).ok_or_else(bad)?;
            let (amount, unit) = amount_of(amount.trim()).ok_or_else(bad)?;
            Self { unit, rate: Rate::PerSecond(amount / seconds) }
        };
        budget.validate()?;
        Ok(budget)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Traces => "",
            Unit::Spans => " spans",
            Unit::Bytes => "B",
        };
        match self.rate {
            // Ten decimals hide the rounding of a division by 100.
            Rate::Share(share) => write!(f, "{}%", (share * 1e12).round() / 1e10),
            Rate::PerSecond(rate) => write!(f, "{rate}{unit}/s"),
        }
    }
}

fn seconds(text: &str) -> Option<f64> {
    match text {
        "s" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3600.0),
        "day" => Some(DAY_S),
        "month" => Some(MONTH_S),
        _ => None,
    }
}

/// An amount with its unit: `200`, `20k spans`, `5MB`, `1.5 GiB`.
fn amount_of(text: &str) -> Option<(f64, Unit)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let rest = text[end..].trim();
    let (prefix, unit) = match rest.strip_suffix('B') {
        Some(prefix) => (prefix, Unit::Bytes),
        None => match rest.strip_suffix("spans").or_else(|| rest.strip_suffix("span")) {
            Some(prefix) => (prefix.trim_end(), Unit::Spans),
            None => (rest.strip_suffix("traces").unwrap_or(rest).trim_end(), Unit::Traces),
        },
    };
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) if unit == Unit::Bytes && !letter.is_empty() => (letter, 1024.0_f64),
        _ => (prefix, 1000.0),
    };
    let power = match letter {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    Some((number * base.powi(power), unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Unit, Rate)>) {
        let found = text.parse::<Budget>().ok().map(|budget| (budget.unit, budget.rate));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form_of_a_budget_is_read() {
        check("5%", Some((Unit::Traces, Rate::Share(0.05))));
        check(" 0.5 % ", Some((Unit::Traces, Rate::Share(0.005))));
        check("200/s", Some((Unit::Traces, Rate::PerSecond(200.0))));
        check("60 traces/min", Some((Unit::Traces, Rate::PerSecond(1.0))));
        check("20k spans/s", Some((Unit::Spans, Rate::PerSecond(20_000.0))));
        check("5MB/s", Some((Unit::Bytes, Rate::PerSecond(5e6))));
        check("1 MiB/s", Some((Unit::Bytes, Rate::PerSecond(1_048_576.0))));
        check("100GB/month", Some((Unit::Bytes, Rate::PerSecond(1e11 / MONTH_S))));
        check("8.64kB/day", Some((Unit::Bytes, Rate::PerSecond(0.1))));
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in
            ["", "5", "0%", "101%", "-1%", "5 apples/s", "5MB", "x/s", "5MB/fortnight", "/s"]
        {
            check(text, None);
        }
        for text in ["NaN%", "inf/s", "0/s", "5iB/s", "5kspans/s/s"] {
            check(text, None);
        }
    }

    #[test]
    fn a_budget_is_shown_as_it_is_written() {
        for text in ["5%", "0.1%", "200/s", "20000 spans/s", "5000000B/s"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
    }
}
