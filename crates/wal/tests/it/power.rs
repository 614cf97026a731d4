//! Power fails, or one call does, at every call in turn: what was acknowledged is there, what was
//! not is there whole or not at all, and opening again changes nothing.

use spanwise_wal::testing::{Fault, SimDisk};

use crate::world::{End, World, released};

/// Lives of the log: (seed, steps).
const N_STEPS: u64 = 60;

/// Calls of an undisturbed life.
fn n_calls(seed: u64) -> u64 {
    let disk = SimDisk::new(seed);
    let mut world = World::new(seed, released());
    assert_eq!(world.live(&disk, N_STEPS), End::Done);
    assert!(world.n_acked > 5);
    world.check(&disk);
    disk.n_calls()
}

/// Scenario: a log at work; power fails before its n-th call, for every n; the next life begins,
/// and power fails in it too, perhaps while it reads the log; a third life ends well.
#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_call() {
    let (mut n_cuts, mut n_removed) = (0, 0);
    for seed in 0..60 {
        for call in 0..n_calls(seed) {
            let mut disk = SimDisk::new(seed ^ call << 32);
            let mut world = World::new(seed, released()).at(call);
            disk.cut_power_at(call);
            world.live(&disk, N_STEPS);
            disk = disk.after_power_cut();
            let second = world.below(80);
            disk.cut_power_at(second);
            world.live(&disk, N_STEPS);
            disk = disk.after_power_cut();
            world.check(&disk);
            assert_eq!(world.live(&disk, N_STEPS), End::Done);
            world.check(&disk);
            n_cuts += 2;
            n_removed += world.n_removed;
        }
    }
    assert!(n_cuts > 5_000 && n_removed > 1_000, "{n_cuts} cuts, {n_removed} segments removed");
}

/// Scenario: the process is killed before its n-th call, for every n; what it wrote is in the
/// system's memory, and then power fails.
#[test]
fn what_was_acknowledged_survives_a_kill_at_any_call_and_a_power_cut_after_it() {
    for seed in 100..125 {
        for call in 0..n_calls(seed) {
            let disk = SimDisk::new(seed ^ call << 32);
            let mut world = World::new(seed, released()).at(call);
            disk.cut_power_at(call);
            world.live(&disk, N_STEPS);
            world.check(&disk);
            world.live(&disk, 5);
            let disk = disk.after_power_cut();
            world.check(&disk);
        }
    }
}

/// How often the log has stopped.
fn check_fault_at_any_call(fault: Fault) -> u64 {
    let mut n_stopped = 0;
    for seed in 200..225 {
        for call in 0..n_calls(seed) {
            let mut disk = SimDisk::new(seed ^ call << 32);
            let mut world = World::new(seed, released()).at(call);
            disk.fail(call, fault);
            // Another one soon after, half of the time.
            disk.fail(call + 1 + world.below(12), fault);
            n_stopped += u64::from(world.live(&disk, N_STEPS) == End::Stopped);
            if world.below(2) == 0 {
                disk.heal();
                disk = disk.after_power_cut();
            }
            world.check(&disk);
            assert_eq!(world.live(&disk, N_STEPS), End::Done);
            let disk = disk.after_power_cut();
            world.check(&disk);
        }
    }
    n_stopped
}

#[test]
fn an_error_at_any_call_costs_nothing_that_was_acknowledged() {
    let n_stopped = check_fault_at_any_call(Fault::Io);
    assert!(n_stopped > 0, "the disk failed twice at times");
}

#[test]
fn a_full_disk_at_any_call_costs_nothing_that_was_acknowledged() {
    let n_stopped = check_fault_at_any_call(Fault::Full);
    assert_eq!(n_stopped, 0, "a full disk is no reason to stop");
}
