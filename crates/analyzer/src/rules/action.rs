//! Checks the `do` of a rule and turns it into what the scaler understands.

use std::sync::Arc;

use spanwise_model::WantedAction;

use super::compile::{KnownTarget, Problems};
use super::config::{ActionConfig, CpuChange, MemoryChange};
use crate::words::nearest;

/// Most replicas a rule may name; far above any sane target, low enough to catch a typing error.
const REPLICAS_MAX: i64 = 10_000;
/// Largest relative change of resources: the scaler's own cap is a factor of 4.
const PERCENT_MAX: u32 = 300;
/// No machine gives one replica more; a larger figure is a slip. Nor does one start below 1 MiB.
const CPU_MILLIS_MAX: u64 = 1_024_000;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 40;
/// Longest name of an alert.
const NAME_BYTES_MAX: usize = 128;

/// The action, or `None` after adding at least one error.
pub(super) fn compile(
    config: &ActionConfig,
    targets: Option<&[KnownTarget]>,
    problems: &mut Problems,
) -> Option<WantedAction> {
    match (&config.scale, &config.vertical, &config.alert) {
        (Some(name), None, None) => replicas(config, name, targets, problems),
        (None, Some(name), None) => vertical(config, name, targets, problems),
        (None, None, Some(name)) => alert(config, name, problems),
        _ => {
            let message = "needs exactly one of scale, vertical and alert".to_owned();
            let fix = "write for example do: {scale: cartservice, by: 1}";
            problems.error("R009", ".do", message, fix);
            None
        }
    }
}

fn replicas(
    config: &ActionConfig,
    name: &str,
    targets: Option<&[KnownTarget]>,
    problems: &mut Problems,
) -> Option<WantedAction> {
    let target = known(name, ".do.scale", targets, problems);
    if config.cpu.is_some() || config.memory.is_some() {
        let message = "cpu and memory belong to vertical, not to scale".to_owned();
        problems.error("R009", ".do", message, "use a second rule for vertical");
        return None;
    }
    let (field, amount) = match (config.by, config.to) {
        (Some(by), None) => (".do.by", by),
        (None, Some(to)) => (".do.to", to),
        _ => {
            let message = "scale needs exactly one of by and to".to_owned();
            problems.error("R009", ".do", message, "write by: 1, or to: 4");
            return None;
        }
    };
    if !(1..=REPLICAS_MAX).contains(&amount) {
        let message = format!("{amount} is not from 1 to {REPLICAS_MAX}; rules only scale up");
        problems.error("R010", field, message, "write the replicas to add, or to have");
        return None;
    }
    let amount = amount as u32;
    let target = target?;
    if config.to.is_some() && amount > target.max {
        let message = format!("to {amount} is above the target's max of {}", target.max);
        problems.warning("R019", field, message, "raise the target's max, or lower to");
    }
    let target = target.name;
    Some(match config.by {
        Some(_) => WantedAction::ReplicasBy { target, by: amount },
        None => WantedAction::ReplicasTo { target, to: amount },
    })
}

fn vertical(
    config: &ActionConfig,
    name: &str,
    targets: Option<&[KnownTarget]>,
    problems: &mut Problems,
) -> Option<WantedAction> {
    let target = known(name, ".do.vertical", targets, problems);
    if config.by.is_some() || config.to.is_some() {
        let message = "by and to belong to scale, not to vertical".to_owned();
        problems.error("R009", ".do", message, "use a second rule for scale");
        return None;
    }
    let (cpu_percent, cpu_millis) = match config.cpu {
        Some(CpuChange::Percent(percent)) => (Some(percent), None),
        Some(CpuChange::Millis(millis)) => (None, Some(millis)),
        None => (None, None),
    };
    let (memory_percent, memory_bytes) = match config.memory {
        Some(MemoryChange::Percent(percent)) => (Some(percent), None),
        Some(MemoryChange::Bytes(bytes)) => (None, Some(bytes)),
        None => (None, None),
    };
    let percents = [cpu_percent, memory_percent];
    let bad = percents.iter().flatten().any(|p| !(1..=PERCENT_MAX).contains(p))
        || cpu_millis.is_some_and(|millis| !(1..=CPU_MILLIS_MAX).contains(&millis))
        || memory_bytes.is_some_and(|bytes| !MEMORY_BYTES.contains(&bytes));
    if bad || (config.cpu.is_none() && config.memory.is_none()) {
        let message = format!(
            "vertical needs cpu above 0 and at most 1024, memory from 1MiB to 16384GiB, or up to \
             +{PERCENT_MAX}%"
        );
        problems.error("R013", ".do", message, "write for example cpu: \"+100%\"");
        return None;
    }
    let target = target?.name;
    Some(WantedAction::Vertical { target, cpu_percent, cpu_millis, memory_percent, memory_bytes })
}

fn alert(config: &ActionConfig, name: &str, problems: &mut Problems) -> Option<WantedAction> {
    let extra = config.by.is_some()
        || config.to.is_some()
        || config.cpu.is_some()
        || config.memory.is_some();
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if !is_name || extra {
        let message = "alert takes a short name and nothing else".to_owned();
        problems.error("R009", ".do", message, "write for example alert: db-oncall");
        return None;
    }
    Some(WantedAction::Alert { name: Arc::from(name) })
}

/// The target of a name that may be scaled; else an error with the nearest name. Where targets are
/// not known, any name will do.
fn known(
    name: &str,
    suffix: &str,
    targets: Option<&[KnownTarget]>,
    problems: &mut Problems,
) -> Option<KnownTarget> {
    let Some(targets) = targets else {
        return Some(KnownTarget { name: Arc::from(name), scalable: true, max: u32::MAX });
    };
    let Some(target) = targets.iter().find(|target| *target.name == *name) else {
        let message = format!("no target serves `{name}`");
        let fix = match nearest(name, targets.iter().map(|target| &*target.name)) {
            Some(target) => format!("did you mean `{target}`?"),
            None => format!("add it under scaler.targets, with service: {name}"),
        };
        problems.error("R011", suffix, message, &fix);
        return None;
    };
    if !target.scalable {
        let message = format!("target `{name}` is marked scalable: false");
        problems.error("R012", suffix, message, "use do: {alert: ..} for it");
        return None;
    }
    Some(target.clone())
}
